// The form of a job type: files become base64 in their fields, lists grow and shrink.
export function filesToFields() {
  for (const picker of document.querySelectorAll("[data-file-for]")) {
    picker.hidden = false;
    picker.addEventListener("change", async () => {
      const file = picker.querySelector("input").files[0];
      if (!file) return;
      const field = document.getElementById(picker.dataset.fileFor);
      const base64 = await read(file);
      field.value = "url" in picker.dataset ? base64.replaceAll("+", "-").replaceAll("/", "_") : base64;
    });
  }
}

function read(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => failed(reader.error));
    reader.readAsDataURL(file);
  });
}

// An item more is the template of the list with its next number; empty items are not sent.
export function growingLists() {
  for (const list of document.querySelectorAll("[data-list]")) {
    const template = list.querySelector(":scope > template");
    const button = list.querySelector(":scope > [data-more]");
    if (!template || !button) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      const number = Number(list.dataset.list);
      list.dataset.list = String(number + 1);
      const holder = document.createElement("div");
      holder.innerHTML = template.innerHTML.replaceAll("__n__", String(number));
      const item = holder.firstElementChild;
      button.before(item);
      item.querySelector("input, select, textarea")?.focus();
    });
  }
}
