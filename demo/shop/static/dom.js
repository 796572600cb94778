export const byId = (id) => document.getElementById(id);

/** Returns a copy of a template's element, with its named parts filled with these texts. */
export function copyTemplate(template, texts) {
  const node = byId(template).content.firstElementChild.cloneNode(true);
  const parts = {};
  for (const part of node.querySelectorAll("[data-part]")) {
    part.textContent = texts[part.dataset.part] ?? "";
    parts[part.dataset.part] = part;
  }
  return { node, parts };
}

/** Replaces a list's children and keeps the keyboard focus. */
export function replaceItems(list, nodes) {
  const focused = document.activeElement?.id;
  list.replaceChildren(...nodes);
  if (focused) byId(focused)?.focus();
}
