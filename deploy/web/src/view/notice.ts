// What went wrong, in the server's words: the status, each field with its value and limit, and the id in its log.
import type { Failure } from "../api/failure";
import { say } from "../strings/say";
import { duration } from "./amount";
import { el } from "./dom";

/** Makes a notice of a failed call. */
export function notice(failure: Failure): HTMLElement {
  const { status, reason, message, violations, requestId, retryAfter } = failure;
  const title = el("p", { class: "status" }, el("code", {}, [status, reason].filter(Boolean).join(" · ")));
  const said = el("div", { class: "notice", role: "alert" }, title);
  if (violations.length > 0) said.append(el("ul", {}, ...violations.map(({ field, description }) => violation(field, description))));
  else said.append(el("p", {}, message));
  if (retryAfter !== undefined) said.append(say(el("p", { class: "quiet" }), "notice.retry", { when: duration(retryAfter) }));
  if (requestId) said.append(say(el("p", { class: "quiet" }), "notice.request", { id: requestId }));
  return said;
}

function violation(field: string, description: string): HTMLElement {
  return el("li", {}, el("code", {}, field), " ", description);
}
