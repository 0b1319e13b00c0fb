// What is known of a model: its size, its state, what training measured, and what the export compared.
import { StateKind, type Model, type ParityReport } from "../generated/protos/seqstream/v1/model_pb";
import { say, written, type Key, type Values } from "../strings/say";
import { amount, bytes, tiny } from "./amount";
import { el, type Child } from "./dom";

const KINDS: Readonly<Record<StateKind, string>> = {
  [StateKind.UNSPECIFIED]: "",
  [StateKind.RECURRENT]: "recurrent",
  [StateKind.CACHE]: "cache",
  [StateKind.STATIC]: "static",
};

/** Returns the parts of a page about `model`. */
export function facts(model: Model): HTMLElement[] {
  if (model.error) return [el("div", { class: "notice" }, el("p", {}, model.error))];
  return [overview(model), measured(model), parity(model.parity)].filter((part) => part !== undefined);
}

function overview(model: Model): HTMLElement {
  const { placement, load } = model;
  const rows: (readonly [Key, Child | undefined])[] = [
    ["facts.family", model.family],
    ["facts.parameters", amount(Number(model.parameters))],
    ["facts.precision", model.precision],
    ["facts.vocabulary", written(model.vocabularySize)],
    ["facts.source_vocabulary", some(model.sourceVocabularySize)],
    ["facts.context", model.contextLimit === undefined ? say(el("span"), "facts.unlimited") : written(model.contextLimit)],
    ["facts.source_limit", some(model.sourceLimit)],
    ["facts.state", load && bytes(Number(load.stateBytesPerRow))],
    ["facts.load", load && say(el("span"), "facts.running", { running: load.running, rows: load.rows, waiting: load.waiting })],
    ["facts.device", placement && say(el("span"), "facts.threads", { device: placement.device, threads: placement.threads })],
  ];
  const entries = rows.map(([key, value]) => value && el("div", {}, say(el("dt"), key), el("dd", {}, value)));
  const states = model.states.map((state) => el("li", {}, el("code", {}, state.name), ` ${KINDS[state.kind]} ${state.dtype} [${state.shape.join(" × ")}]`));
  const folded = el("details", {}, say(el("summary"), "facts.states", { count: states.length }), el("ul", { class: "states" }, ...states));
  return section("facts", {}, el("dl", { class: "facts" }, ...entries), states.length > 0 ? folded : undefined);
}

function measured(model: Model): HTMLElement | undefined {
  const metrics = Object.entries(model.metrics).sort(([one], [other]) => one.localeCompare(other));
  if (metrics.length === 0) return undefined;
  const rows = metrics.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name.replaceAll("_", " ")), el("td", {}, written(value))));
  return section("metrics", {}, el("table", {}, el("tbody", {}, ...rows)));
}

function parity(report: ParityReport | undefined): HTMLElement | undefined {
  if (!report || report.checks.length === 0) return undefined;
  const head = (["parity.check", "parity.error", "parity.tolerance"] as const).map((key) => say(el("th", { scope: "col" }), key));
  const rows = report.checks.map(({ name, largestError, tolerance }) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, tiny(largestError)), el("td", {}, tiny(tolerance))),
  );
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  return section("parity", { tokens: report.greedyTokensCompared }, table);
}

function section(name: "facts" | "metrics" | "parity", values: Values, ...children: Child[]): HTMLElement {
  const why = say(el("p", { class: "quiet" }), `${name}.why`, values);
  return el("section", { class: "about" }, say(el("h3"), `${name}.title`), why, ...children);
}

function some(count: number | undefined): string | undefined {
  return count === undefined ? undefined : written(count);
}
