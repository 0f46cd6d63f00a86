// Conveniences. Every function of the pages works without this script.
"use strict";

// Times in the time zone of the browser, as its user writes them in the language of the page.
const page = document.documentElement.lang;
const locale = navigator.languages.find((it) => it.split("-")[0] === page) ?? page;
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    const options = {
      year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
    };
    time.textContent = at.toLocaleString(locale, options);
  }
}

// A button that shows a password.
for (const field of document.querySelectorAll("input[data-show]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link show";
  button.textContent = field.dataset.show;
  button.setAttribute("aria-controls", field.id);
  const label = field.labels[0];
  label.id ||= `${field.id}-label`;
  button.setAttribute("aria-describedby", label.id);
  button.addEventListener("click", () => {
    const shows = field.type === "password";
    field.type = shows ? "text" : "password";
    button.textContent = shows ? field.dataset.hide : field.dataset.show;
  });
  field.after(button);
  field.form.addEventListener("submit", () => { field.type = "password"; });
}

// A form is submitted once. The browser restores the page without this state when the user goes back.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button:not([type=button])")) {
      button.disabled = true;
      // The user may have stopped the page before the response.
      setTimeout(() => { button.disabled = false; }, 30_000);
    }
  });
}
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) {
    button.disabled = false;
  }
});

// The error summary gets the focus also where `autofocus` does not apply to it.
document.getElementById("error-summary")?.focus();
