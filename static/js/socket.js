// One websocket that comes back by itself. `onEvent` gets each message, `onState` true while it is connected.
const SIGNED_OUT = 4401;
const NOT_FOUND = 4404;
const SLOWEST_MS = 10_000;

export function connect(path, onEvent, onState = () => {}) {
  let socket = null;
  let attempt = 0;
  let timer = 0;
  let isDone = false;

  function open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${path}`);
    socket.addEventListener("message", (message) => {
      attempt = 0;
      onState(true);
      onEvent(JSON.parse(message.data));
    });
    socket.addEventListener("close", (event) => {
      onState(false);
      if (isDone || event.code === NOT_FOUND) return;
      if (event.code === SIGNED_OUT) {
        location.reload();
        return;
      }
      attempt += 1;
      const wait = Math.min(SLOWEST_MS, 300 * 2 ** attempt) * (0.5 + Math.random() / 2);
      timer = setTimeout(open, wait);
    });
  }

  open();
  return {
    close() {
      isDone = true;
      clearTimeout(timer);
      socket.close();
    },
  };
}
