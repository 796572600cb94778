import { call } from "./api.js";
import { byId, copyTemplate, replaceItems } from "./dom.js";

const REFRESH_MS = 3000;
let shownCount = -1; // -1, since zero e-mails are shown too
let openedId = null;

async function refresh() {
  try {
    showList(await call("/mail.json"));
    byId("mail-problem").textContent = "";
  } catch (problem) {
    byId("mail-problem").textContent = problem.message;
  }
}

function showList(mails) {
  if (mails.length === shownCount) return;
  shownCount = mails.length;
  byId("tally").textContent = `E-mails so far: ${shownCount}.`;
  replaceItems(byId("mails"), mails.toReversed().map(listEntry));
  if (!openedId && shownCount) open(mails.at(-1));
}

function listEntry(mail) {
  const { id, subject, to, date } = mail;
  const { node } = copyTemplate("mail", { subject, to, date: new Date(date).toLocaleTimeString() });
  const button = node.firstElementChild;
  button.id = `mail-${id}`;
  button.setAttribute("aria-current", String(id === openedId));
  button.addEventListener("click", () => {
    open(mail);
    byId("subject").focus();
  });
  return node;
}

function open(mail) {
  byId(`mail-${openedId}`)?.setAttribute("aria-current", "false");
  openedId = mail.id;
  byId(`mail-${openedId}`).setAttribute("aria-current", "true");
  for (const id of ["subject", "to", "from", "text"]) byId(id).textContent = mail[id];
  byId("date").textContent = new Date(mail.date).toLocaleString();
  byId("html").hidden = !mail.html;
  if (mail.html) byId("html").src = `/mail/${encodeURIComponent(mail.id)}.html`;
  byId("alternative").hidden = !mail.text;
  byId("alternative").open = !mail.html;
  byId("reader").hidden = false;
}

await refresh();
setInterval(refresh, REFRESH_MS);
