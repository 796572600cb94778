import { call } from "./api.js";
import { byId, copy, refill } from "./dom.js";

const EVERY_MS = 3000;
let shown = -1; // how many; none yet is news too
let opened = null;

async function refresh() {
  try {
    list(await call("/mail.json"));
    byId("mail-problem").textContent = "";
  } catch (problem) {
    byId("mail-problem").textContent = problem.message;
  }
}

function list(mails) {
  if (mails.length === shown) return;
  shown = mails.length;
  byId("tally").textContent = `${shown} so far.`;
  refill(byId("mails"), mails.toReversed().map(entry));
  if (!opened && shown) read(mails.at(-1));
}

function entry(mail) {
  const { id, subject, to, date } = mail;
  const { node } = copy("mail", { subject, to, date: new Date(date).toLocaleTimeString() });
  const button = node.firstElementChild;
  button.id = `mail-${id}`;
  button.setAttribute("aria-current", String(id === opened));
  button.addEventListener("click", () => {
    read(mail);
    byId("subject").focus();
  });
  return node;
}

function read(mail) {
  byId(`mail-${opened}`)?.setAttribute("aria-current", "false");
  opened = mail.id;
  byId(`mail-${opened}`).setAttribute("aria-current", "true");
  for (const id of ["subject", "to", "from", "text"]) byId(id).textContent = mail[id];
  byId("date").textContent = new Date(mail.date).toLocaleString();
  byId("html").hidden = !mail.html;
  if (mail.html) byId("html").src = `/mail/${encodeURIComponent(mail.id)}.html`;
  byId("alternative").hidden = !mail.text;
  byId("alternative").open = !mail.html;
  byId("reader").hidden = false;
}

await refresh();
setInterval(refresh, EVERY_MS);
