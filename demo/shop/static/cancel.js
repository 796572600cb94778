import { expire, settings } from "./api.js";
import { forgetAttempt } from "./cart.js";
import { byId } from "./dom.js";

const REFUSALS = {
  404: ["unknown", "We do not know this checkout. Your bag is as you left it."],
  409: ["closed", "This order is paid already, so it stays as it is."],
};
const checkout = new URLSearchParams(location.search).get("checkout_id");

async function freeStock() {
  byId("again").hidden = true;
  try {
    await expire((await settings()).checkout_url, checkout);
    show("freed", "Your pieces are back on the shelf for others. Your bag is as you left it.");
  } catch ({ status, message }) {
    byId("again").hidden = status in REFUSALS;
    show(...(REFUSALS[status] ?? ["problem", `${message} Left alone, the pieces go back on the shelf by themselves.`]));
  }
}

function show(state, words) {
  byId("cancel").dataset.status = state;
  byId("explanation").textContent = words;
}

forgetAttempt(); // the old session is over: the same bag shall get a new one
byId("again").addEventListener("click", freeStock);
if (checkout) freeStock();
else show(...REFUSALS[404]);
