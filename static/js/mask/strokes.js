// The pointer and the keyboard paint. `pen` says how: { width, isErasing }.
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function paintWithPointer({ drawing, history, pen, onStroke }) {
  const { canvas } = drawing;
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * canvas.width,
      y: ((event.clientY - box.top) / box.height) * canvas.height,
    };
  };
  const strokeTo = (next) => {
    drawing.stroke(last ?? next, next, pen.width, pen.isErasing);
    last = next;
  };
  const finish = () => {
    if (last) onStroke();
    last = null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    history.remember();
    strokeTo(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) strokeTo(place(each));
  });
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
}

// `onMove` gets where the brush is: x and y as parts of the picture's width and height.
export function paintWithKeys({ drawing, history, pen, onStroke, onMove }) {
  const { canvas } = drawing;
  let at = null;
  const stroke = (to, isRepeated) => {
    if (!isRepeated) history.remember();
    drawing.stroke(at, to, pen.width, pen.isErasing);
    onStroke();
  };
  const moved = ([x, y]) => {
    const step = drawing.longerSide / 40;
    return { x: clamp(at.x + x * step, canvas.width), y: clamp(at.y + y * step, canvas.height) };
  };
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    at ??= { x: canvas.width / 2, y: canvas.height / 2 };
    if (!move) return stroke(at, event.repeat);
    const next = moved(move);
    if (event.shiftKey) stroke(next, event.repeat);
    at = next;
    onMove(at.x / canvas.width, at.y / canvas.height);
  });
}

const clamp = (value, most) => Math.min(most, Math.max(0, value));
