// Everything works without this file. It adds a button that shows what was
// typed into a password field, and shows times in the reader's own zone.
"use strict";

for (const input of document.querySelectorAll("input[data-show]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "peek";
  const turn = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? input.dataset.hide : input.dataset.show;
    button.setAttribute("aria-pressed", String(shown));
  };
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    turn(input.type === "password");
    input.focus();
  });
  // A password in a text field would be kept among the browser's suggestions.
  input.form.addEventListener("submit", () => turn(false));
  turn(false);
  input.parentElement.append(button);
}

for (const time of document.querySelectorAll("time[datetime]")) {
  const style = "day" in time.dataset ? { dateStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  time.textContent = new Date(time.dateTime).toLocaleString(navigator.languages, style);
}
