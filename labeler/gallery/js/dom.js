// Small helpers for the page's elements. Text is only ever set as text, never as markup.

const byId = (id) => document.getElementById(id);

/** Make an element with attributes (`on...` are listeners, `text` its text) and children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const number = (value) => value.toLocaleString(language);
const percent = (share) => `${Math.round(100 * share)} %`;

/** A name from outside: it may be written from right to left, and must not turn what follows. */
const named = (text) => element("bdi", { text });
