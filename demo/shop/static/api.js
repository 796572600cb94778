const PATIENCE_MS = 30_000; // a checkout waits for the stock and for Stripe

/** An answer that is not 2xx (RFC 9457), or none at all (status 0). */
export class Problem extends Error {
  constructor(status, body = {}) {
    super(inWords(status, body));
    this.status = status;
    this.name = String(body.type ?? "").split(":").pop();
    this.lines = body.lines ?? [];
    this.fields = body.errors ?? {};
  }
}

function inWords(status, body) {
  if (status === 0) return "We cannot reach the shop. Please check your connection and try again.";
  if (status === 429) return "That was a little fast. Please try again in a minute.";
  if (status >= 500) return "The shop cannot do that this minute. Nothing was charged; please try again shortly.";
  return body.detail ?? "Something about this is not right. Please look it over and try again.";
}

export async function call(url, { method = "GET", headers = {}, body } = {}) {
  const request = { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
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
  const answer = await response.json().catch(() => ({})); // a 204 and a proxy's page have no JSON
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

export const settings = () => call("/config.json");

export const expire = (checkoutUrl, id) =>
  call(`${checkoutUrl}/checkout/sessions/${encodeURIComponent(id)}/cancel`, { method: "POST" });

export async function products(checkoutUrl, currency) {
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
