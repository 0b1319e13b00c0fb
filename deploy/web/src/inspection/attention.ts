// Attention: for every place that was written, how much of each place it read. A layer at a time, all its heads at once.
import type { Calls } from "../api/calls";
import { AttentionKind, type AttendResponse, type AttentionMap, type AttentionView } from "../generated/protos/seqstream/v1/inspection_pb";
import { say, words, written, type Key } from "../strings/say";
import { button, el } from "../view/dom";
import { Chooser } from "../view/setting";
import { shades } from "./colours";
import { Heatmap, paint, type Matrix } from "./heatmap";
import { asked, labels, type Subject } from "./subject";
import { View } from "./view";

const NAMES: Readonly<Record<AttentionKind, Key>> = {
  [AttentionKind.UNSPECIFIED]: "attention.unspecified",
  [AttentionKind.ENCODER_SELF]: "attention.encoder_self",
  [AttentionKind.DECODER_SELF]: "attention.decoder_self",
  [AttentionKind.CROSS]: "attention.cross",
};
// The answer that says most of an encoder-decoder first.
const ORDER = [AttentionKind.CROSS, AttentionKind.DECODER_SELF, AttentionKind.ENCODER_SELF, AttentionKind.UNSPECIFIED];
// What one answer may hold; the heads of long sequences are asked for as their mean.
const MOST_WEIGHTS = 786_432;
const MEAN = "mean";
const THUMBNAIL = 64;

export class Attention extends View {
  private readonly calls: Calls;
  private views: readonly AttentionView[] = [];
  private kind = AttentionKind.UNSPECIFIED;
  private layer = 0;
  private head: number | typeof MEAN = MEAN;
  private model = "";
  private drawn: Matrix | undefined;
  private readonly map: Heatmap;

  constructor(calls: Calls) {
    super("attention", "attention.why");
    this.calls = calls;
    this.map = new Heatmap(words("attention"), (row, column, weight) => this.described(row, column, weight));
  }

  protected adapt({ model, inspection }: Subject): boolean {
    this.views = inspection.attentions;
    if (model !== this.model) {
      this.model = model;
      this.kind = ORDER.find((kind) => this.of(kind).length > 0) ?? AttentionKind.UNSPECIFIED;
      this.last();
    }
    return this.views.length > 0;
  }

  protected async draw(subject: Subject, signal: AbortSignal): Promise<void> {
    this.choose();
    const meanOfHeads = this.weights(subject) > MOST_WEIGHTS;
    const wanted = { ...asked(subject), kinds: [this.kind], layers: [this.layer], meanOfHeads };
    const answer = await this.calls.inspection.attend(wanted, { signal });
    const maps = answer.maps.map((map) => ({ head: map.head ?? MEAN, matrix: matrix(map, answer) }) as const);
    const all = [...(maps.length > 1 ? [{ head: MEAN, matrix: mean(maps.map(({ matrix }) => matrix)) } as const] : []), ...maps];
    const chosen = all.find(({ head }) => head === this.head) ?? all[0];
    if (!chosen || signal.aborted) return;
    const heads = el("div", { class: "heads", role: "group", "aria-label": words("attention.head") });
    this.picture.replaceChildren(...(all.length > 1 ? [heads] : []), this.map.element);
    for (const { head, matrix } of all) heads.append(this.thumbnail(head, matrix));
    this.show(chosen.matrix);
  }

  private weights({ source, read }: Subject): number {
    const heads = this.of(this.kind).find(({ layer }) => layer === this.layer)?.heads ?? 1;
    const rows = this.kind === AttentionKind.ENCODER_SELF ? source : read;
    const columns = this.kind === AttentionKind.DECODER_SELF ? read : source;
    return heads * rows * columns;
  }

  private show(shown: Matrix): void {
    this.drawn = shown;
    this.map.show(shown, words("attention.range", { high: written(shown.high, 2) }));
  }

  private of(kind: AttentionKind): AttentionView[] {
    return this.views.filter((view) => view.kind === kind);
  }

  // The last layer is nearest to what is written.
  private last(): void {
    this.layer = Math.max(...this.of(this.kind).map(({ layer }) => layer));
    this.head = MEAN;
  }

  private choose(): void {
    const kinds = ORDER.filter((kind) => this.of(kind).length > 0).map((kind) => ({ value: String(kind), label: NAMES[kind] }));
    const layers = this.of(this.kind).map(({ layer }) => ({ value: String(layer), label: { name: String(layer + 1) } }));
    const kind = new Chooser("attention.kind", kinds, String(this.kind), (value) => {
      this.kind = Number(value);
      this.last();
      this.update();
    });
    const layer = new Chooser("attention.layer", layers, String(this.layer), (value) => {
      this.layer = Number(value);
      this.update();
    });
    const named = layers.length > 1 ? [say(el("span", { class: "label" }), "attention.layer"), layer.element] : [];
    this.controls.replaceChildren(...(kinds.length > 1 ? [kind.element] : []), ...named);
  }

  private thumbnail(head: number | typeof MEAN, shown: Matrix): HTMLButtonElement {
    const ratio = devicePixelRatio;
    const canvas = el("canvas", { width: THUMBNAIL * ratio, height: THUMBNAIL * ratio });
    const context = canvas.getContext("2d");
    const layout = { left: 0, top: 0, cellWidth: canvas.width / shown.columns, cellHeight: canvas.height / shown.rows };
    if (context) paint(context, shown, layout, shades(shown.scale, this.element));
    const caption = head === MEAN ? say(el("span"), "attention.mean") : el("span", {}, String(head + 1));
    const made = button({ class: "head", "aria-pressed": String(head === this.head) }, () => {
      this.head = head;
      for (const each of made.parentElement?.children ?? []) each.setAttribute("aria-pressed", String(each === made));
      this.show(shown);
    });
    made.append(canvas, caption);
    return made;
  }

  private described(row: number, column: number, weight: number): string {
    const { rowLabels, columnLabels } = this.drawn ?? { rowLabels: [], columnLabels: [] };
    const values = { to: columnLabels[column] ?? "", from: rowLabels[row] ?? "", weight: written(weight, 2) };
    return words("attention.cell", values);
  }
}

function matrix({ rows, columns, weights, rowAxis, columnAxis }: AttentionMap, { sequences }: AttendResponse): Matrix {
  // The last place of a model without a source has written nothing yet.
  const rowLabels = labels(rowAxis, sequences);
  while (rowLabels.length < rows) rowLabels.push("");
  const columnLabels = labels(columnAxis, sequences);
  return { rows, columns, values: weights, rowLabels, columnLabels, scale: "part", low: 0, high: highest(weights) };
}

function highest(weights: ArrayLike<number>): number {
  return Array.from(weights).reduce((most, weight) => Math.max(most, weight), 0);
}

function mean(maps: readonly Matrix[]): Matrix {
  const [first] = maps as [Matrix, ...Matrix[]];
  const sums = new Float32Array(first.rows * first.columns);
  for (const { values } of maps) sums.forEach((sum, cell) => (sums[cell] = sum + (values[cell] ?? 0)));
  const values = sums.map((sum) => sum / maps.length);
  return { ...first, values, high: highest(values) };
}
