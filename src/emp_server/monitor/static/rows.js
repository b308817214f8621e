// The list of jobs: select many, and hold the rows still while somebody reads or selects.
const list = () => document.querySelector("[data-selecting]");

export function selecting() {
  const form = list();
  if (!form) return;
  const all = form.querySelector("[data-all]");
  // Who may not act on jobs has nothing to select, only rows to read.
  if (all) {
    all.hidden = false;
    all.addEventListener("change", (event) => {
      for (const box of boxes(form)) box.checked = event.target.checked;
    });
  }
  form.querySelector("[data-show]").addEventListener("click", () => {
    for (const box of boxes(form)) box.checked = false;
    if (all) all.querySelector("input").checked = false;
    document.dispatchEvent(new CustomEvent("emp:refresh"));
  });
}

function boxes(form) {
  return form.querySelectorAll("tbody input[type=checkbox]");
}

function isHeld(form) {
  const rows = form.querySelector("[data-rows]");
  return rows.matches(":hover") || rows.contains(document.activeElement) || [...boxes(form)].some((box) => box.checked);
}

// Give the fresh page the rows of the old one in their order: what is known of them anew is shown, what is new has to wait.
export function holdRows(main, fresh) {
  const form = main.querySelector("[data-selecting]");
  const old = form?.querySelector("[data-rows]");
  const wanted = fresh.querySelector("[data-rows]");
  if (!old || !wanted) return;
  const byKey = new Map([...wanted.children].map((row) => [row.dataset.key, row]));
  const oldKeys = [...old.children].map((row) => row.dataset.key);
  const changed = isHeld(form) ? [...byKey.keys()].filter((key) => !oldKeys.includes(key)).length : 0;
  const left = isHeld(form) ? oldKeys.filter((key) => !byKey.has(key)).length : 0;
  if (isHeld(form)) wanted.replaceChildren(...[...old.children].map((row) => byKey.get(row.dataset.key) ?? leftBehind(row)));
  const held = form.querySelector("[data-held]");
  held.hidden = form.querySelector("[data-show]").hidden = !(changed || left);
  const words = `Held still while you read: ${changed} new, ${left} no longer in this list.`;
  if (!held.hidden && held.textContent !== words) held.textContent = words;
}

function leftBehind(row) {
  const copy = row.cloneNode(true);
  copy.classList.add("left");
  return copy;
}
