// Gates and states over time: a picture for each activation of a layer, one below the other on the same time axis.
import type { Calls } from "../api/calls";
import { ActivationKind, Part, type Activation, type ActivationView, type InspectResponse } from "../generated/protos/seqstream/v1/inspection_pb";
import { say, words, written } from "../strings/say";
import { el } from "../view/dom";
import { Chooser } from "../view/setting";
import { Heatmap, type Matrix } from "./heatmap";
import { asked, labels, type Subject } from "./subject";
import { View } from "./view";

const UNITS = 32;
const ROW = 5;

export class Activations extends View {
  private readonly calls: Calls;
  private views: readonly ActivationView[] = [];
  private place = "";

  constructor(calls: Calls) {
    super("activations", "activations.why");
    this.calls = calls;
  }

  protected adapt({ inspection }: Subject): boolean {
    this.views = inspection.activations;
    const places = this.places();
    if (!places.includes(this.place)) this.place = places.at(-1) ?? "";
    return this.views.length > 0;
  }

  protected async draw(subject: Subject, signal: AbortSignal): Promise<void> {
    this.choose();
    const [part, layer] = this.place.split(" ").map(Number) as [Part, number];
    const answer = await this.calls.inspection.inspect({ ...asked(subject), layers: [layer], maxUnits: UNITS }, { signal });
    const shown = answer.activations.filter((activation) => activation.part === part && activation.layer === layer);
    if (signal.aborted) return;
    const pictures = shown.map((activation, place) => picture(activation, answer, place === 0));
    this.picture.replaceChildren(...pictures.map(({ element }) => element));
    for (const { draw } of pictures) draw();
  }

  // Part and layer, as a chooser has them.
  private places(): string[] {
    return [...new Set(this.views.map(({ part, layer }) => `${part} ${layer}`))].sort();
  }

  private choose(): void {
    const choices = this.places().map((value) => ({ value, label: { name: named(value, this.views) } }));
    const chooser = new Chooser("activations.layer", choices, this.place, (value) => {
      this.place = value;
      this.update();
    });
    const label = say(el("span", { class: "label" }), "activations.layer");
    this.controls.replaceChildren(...(choices.length > 1 ? [label, chooser.element] : []));
  }
}

function named(place: string, views: readonly ActivationView[]): string {
  const [part, layer] = place.split(" ").map(Number) as [Part, number];
  const hasEncoder = views.some((view) => view.part === Part.ENCODER);
  if (!hasEncoder) return String(layer + 1);
  return `${words(part === Part.ENCODER ? "part.encoder" : "part.decoder")} ${layer + 1}`;
}

interface Picture {
  readonly element: HTMLElement;
  readonly draw: () => void;
}

function picture(activation: Activation, { sequences }: InspectResponse, hasLabels: boolean): Picture {
  const { name, kind, units, totalUnits, times, timeAxis, values } = activation;
  const tokens = labels(timeAxis, sequences);
  const turned = Float32Array.from({ length: values.length }, (_, cell) => {
    return values[(cell % times) * units.length + Math.floor(cell / times)] ?? 0;
  });
  const most = kind === ActivationKind.GATE ? 1 : turned.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const matrix: Matrix = {
    rows: units.length,
    columns: times,
    values: turned,
    rowLabels: units.map(() => ""),
    columnLabels: hasLabels ? tokens : tokens.map(() => ""),
    scale: kind === ActivationKind.GATE ? "part" : "signed",
    low: kind === ActivationKind.GATE ? 0 : -most,
    high: most,
    rowHeight: ROW,
  };
  const title = name.replaceAll("_", " ");
  const map = new Heatmap(title, (row, column, value) =>
    words("activations.cell", { token: tokens[column] ?? "", unit: String(units[row] ?? ""), value: written(value, 3) }),
  );
  const range = kind === ActivationKind.GATE ? "0 – 1" : `± ${written(most, 2)}`;
  const shown = say(el("span", { class: "quiet" }), "activations.range", { range, units: units.length, total: totalUnits });
  const element = el("section", { class: "activation" }, el("h4", {}, title, " ", shown), map.element);
  return { element, draw: () => map.show(matrix) };
}
