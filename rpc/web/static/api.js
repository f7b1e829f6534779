// The page's own calls of the node.
import { t } from "./text.js";

async function answer(response) {
  const value = await response.json().catch(() => ({ error: t.noAnswer }));
  if (!response.ok) throw Object.assign(new Error(value.error || t.noAnswer), { status: response.status });
  return value;
}
export const get = path => fetch("/page/" + path).catch(() => { throw new Error(t.offline); }).then(answer);
export const post = (path, body) => fetch("/page/" + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }).catch(() => { throw new Error(t.offline); }).then(answer);
export const text = path => fetch("/page/" + path).then(r => r.ok ? r.text() : answer(r));

// follow calls f with lists of events as they come; the browser comes back by itself
// with the last number when the connection was lost.
export function follow(f, state) {
  let source, wait = 1000;
  const open = () => {
    source = new EventSource("/events");
    source.onopen = () => { wait = 1000; state(true); };
    source.onmessage = m => f(JSON.parse(m.data));
    source.onerror = () => {
      state(false);
      if (source.readyState === EventSource.CLOSED) { setTimeout(open, wait); wait = Math.min(2 * wait, 30000); }
    };
  };
  open();
}
