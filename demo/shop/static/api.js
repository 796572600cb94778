const REQUEST_TIMEOUT_MS = 30_000; // a checkout waits for the inventory and for Stripe

/** An answer that is not 2xx, as problem details (RFC 9457), or no answer at all (status 0). */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    super(messageFor(status, body));
    this.status = status;
    this.mayChange = status !== 404 || retryAfter !== null; // a 404 for good has no Retry-After
    this.name = String(body.type ?? "").split(":").pop();
    this.lines = body.lines ?? [];
    this.fields = body.errors ?? {};
  }
}

function messageFor(status, body) {
  if (status === 0) return "We cannot reach the shop. Please check your connection and try again.";
  if (status === 429) return "You have sent too many requests. Please try again in a minute.";
  if (status >= 500) return "The shop cannot do this at the moment. Please try again in a minute.";
  return body.detail ?? "The shop did not accept your request. Please check your entries and try again.";
}

/** Sends a request and returns its JSON. Throws a Problem if the answer is not 2xx. */
export async function call(url, { method = "GET", headers = {}, body } = {}) {
  const request = { method, headers, cache: "no-store", signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) };
  if (body) {
    request.body = JSON.stringify(body);
    request.headers = { ...headers, "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await fetch(url, request);
  } catch {
    throw new Problem(0);
  }
  const answer = await response.json().catch(() => ({})); // a 204 or a proxy's error page has no JSON
  if (!response.ok) throw new Problem(response.status, answer, response.headers.get("Retry-After"));
  return answer;
}

export const fetchConfig = () => call("/config.json");

export const cancelCheckout = (checkoutUrl, id) =>
  call(`${checkoutUrl}/checkout/sessions/${encodeURIComponent(id)}/cancel`, { method: "POST" });

/** Returns the products of all pages, with their prices in this currency. */
export async function fetchProducts(checkoutUrl, currency) {
  const items = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ currency, limit: 200, ...(cursor && { cursor }) });
    const page = await call(`${checkoutUrl}/products?${query}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}
