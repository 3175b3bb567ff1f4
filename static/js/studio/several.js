// Several workflow files at once. Each is sent by itself: the report grows as they are read, and none stops the others.
import { element } from "../element.js";
import { sentenceFor, UNREACHABLE } from "../failures.js";

export const areSeveral = (files) => files.length > 1 || [...files].some((file) => /\.zip$/i.test(file.name));

// Sends all files of a form, and shows what became of each.
export async function sendSeveral(form, files) {
  const report = new Report(form);
  if (files.length > Number(form.dataset.mostFiles)) {
    report.refuse("", `Nothing was read: drop at most ${form.dataset.mostFiles} files at a time, not ${files.length}.`);
    return report.end();
  }
  const leaving = (event) => event.preventDefault();
  addEventListener("beforeunload", leaving);
  report.begin(files.length);
  for (const [index, file] of [...files].entries()) {
    if (report.isStopped) break;
    await sendOne(form, file, report, index, files.length);
  }
  removeEventListener("beforeunload", leaving);
  report.end();
}

async function sendOne(form, file, report, index, count) {
  if (file.size > Number(form.dataset.mostBytes)) return report.refuse(file.name, sentenceFor(413));
  let start = 0;
  let total = 0;
  do {
    const within = total ? ` (${start} of ${total})` : "";
    report.show(index + (total ? start / total : 0), `Reading ${index + 1} of ${count}: ${file.name}${within} …`);
    const response = await post(form, file, start);
    if (!response.ok) return report.refuse(file.name, response.sentence);
    report.add(response.html);
    [start, total] = [response.read, response.total];
  } while (start < total && !report.isStopped);
  if (start < total) report.refuse(file.name, `Stopped: ${total - start} of its files were not read.`);
}

async function post(form, file, start) {
  const body = new FormData();
  for (const name of ["csrfmiddlewaretoken", "server"]) body.set(name, form.elements[name].value);
  body.set("one_of_several", "1");
  body.set("start", start);
  body.set("file", file);
  try {
    const response = await fetch(form.action, { method: "POST", body });
    const read = response.headers.get("X-Files-Read");
    if (response.redirected || !response.ok || read === null) {
      return { ok: false, sentence: sentenceFor(response.redirected ? 401 : response.status) };
    }
    const total = Number(response.headers.get("X-Files-Total"));
    return { ok: true, html: await response.text(), read: Number(read), total };
  } catch {
    return { ok: false, sentence: UNREACHABLE };
  }
}

class Report {
  isStopped = false;

  constructor(form) {
    this.form = form;
    this.box = document.querySelector("[data-report]");
    [this.title, this.lines, this.progress, this.stop] = ["title", "lines", "progress", "stop"].map((name) =>
      this.box.querySelector(`[data-report-${name}]`),
    );
    this.stop.onclick = () => {
      this.isStopped = true;
      this.stop.disabled = true;
    };
    this.outcomes = JSON.parse(document.getElementById("outcomes").textContent);
    this.lines.replaceChildren();
    this.box.hidden = false;
  }

  begin(count) {
    this.form.classList.add("is-busy");
    this.form.inert = true;
    this.progress.max = count;
    this.progress.hidden = this.stop.hidden = this.stop.disabled = false;
    this.stop.focus();
    this.box.scrollIntoView({ block: "nearest" });
  }

  show(done, sentence) {
    this.progress.value = done;
    this.title.textContent = sentence;
  }

  add(html) {
    this.lines.insertAdjacentHTML("beforeend", html);
  }

  refuse(name, reason) {
    const badge = element("span", { className: "studio-badge wrong", textContent: this.outcomes.refused });
    const words = element(
      "div",
      { className: "studio-line-words" },
      element("strong", { textContent: name }),
      element("p", { className: "studio-fault", textContent: reason }),
    );
    const line = element("li", { className: "studio-line is-refused" }, badge, words);
    line.dataset.outcome = "refused";
    this.lines.append(line);
  }

  end() {
    this.form.classList.remove("is-busy");
    this.form.inert = false;
    this.progress.hidden = this.stop.hidden = true;
    this.title.textContent = `${this.isStopped ? "Stopped. " : ""}${this.#counts() || "Nothing was read"}.`;
    this.title.focus();
  }

  // Such as "3 made, 1 refused".
  #counts() {
    const countOf = (outcome) => this.lines.querySelectorAll(`[data-outcome="${outcome}"]`).length;
    return Object.entries(this.outcomes)
      .filter(([outcome]) => countOf(outcome))
      .map(([outcome, label]) => `${countOf(outcome)} ${label.toLowerCase()}`)
      .join(", ");
  }
}
