// Where the cells of a matrix stand on a canvas so wide, and the labels beside and above them.
import type { Matrix } from "./heatmap";
import { resolved } from "./colours";

export interface Layout {
  readonly left: number;
  readonly top: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  readonly width: number;
  readonly height: number;
}

const FONT = '12px "IBM Plex Mono", "Noto Sans Mono CJK KR", "Noto Sans Mono", ui-monospace, monospace';
const LINE = 13;
const GAP = 6;
const LONGEST = 110;
const WIDEST_CELL = 26;
const NARROWEST_CELL = 11;
// So many columns are too many for a label each.
const MANY = 120;

/** Returns the layout for a place that is `available` pixels wide; it may be wider, and then scrolls. */
export function measure(context: CanvasRenderingContext2D, matrix: Matrix, available: number): Layout {
  context.font = FONT;
  const longest = (labels: readonly string[]): number =>
    Math.min(LONGEST, Math.ceil(Math.max(0, ...labels.map((label) => context.measureText(label).width))));
  const left = longest(matrix.rowLabels) + GAP;
  const narrowest = matrix.columns > MANY ? 4 : NARROWEST_CELL;
  const fitting = Math.floor((available - left - 1) / Math.max(matrix.columns, 1));
  const cellWidth = Math.min(WIDEST_CELL, Math.max(narrowest, fitting));
  const cellHeight = matrix.rowHeight ?? Math.max(cellWidth, matrix.rows > MANY ? 4 : LINE);
  const above = longest(matrix.columnLabels);
  const top = above === 0 ? 0 : (above > cellWidth ? above : LINE) + GAP;
  return {
    left,
    top,
    cellWidth,
    cellHeight,
    width: left + matrix.columns * cellWidth + 1,
    height: top + matrix.rows * cellHeight + 1,
  };
}

/** Draws the labels, as many as have room. */
export function labelled(context: CanvasRenderingContext2D, matrix: Matrix, layout: Layout, within: Element): void {
  const { left, top, cellWidth, cellHeight } = layout;
  context.font = FONT;
  context.fillStyle = `rgb(${resolved("--label", within).join(" ")})`;
  context.textBaseline = "middle";
  context.textAlign = "right";
  each(matrix.rowLabels, cellHeight, (label, row) => {
    context.fillText(label, left - GAP, top + (row + 0.5) * cellHeight, LONGEST);
  });
  each(matrix.columnLabels, cellWidth, (label, column) => {
    // Upright only where it is longer than its cell is wide.
    const isUpright = context.measureText(label).width > cellWidth;
    context.save();
    context.translate(left + (column + 0.5) * cellWidth - 0.5, top - GAP);
    if (isUpright) context.rotate(-Math.PI / 2);
    context.textAlign = isUpright ? "left" : "center";
    context.textBaseline = isUpright ? "middle" : "alphabetic";
    context.fillText(label, 0, 0, LONGEST);
    context.restore();
  });
}

function each(labels: readonly string[], room: number, draw: (label: string, place: number) => void): void {
  const step = Math.ceil((LINE - 2) / room);
  labels.forEach((label, place) => {
    if (label !== "" && place % step === 0) draw(label, place);
  });
}
