// A matrix as a picture: drawn on a canvas, labelled on both sides, read cell by cell with the pointer or the arrow keys.
import { el } from "../view/dom";
import { labelled, measure, type Layout } from "./labels";
import { shade, shades, type Scale } from "./colours";

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Row after row. */
  readonly values: ArrayLike<number>;
  readonly rowLabels: readonly string[];
  readonly columnLabels: readonly string[];
  readonly scale: Scale;
  readonly low: number;
  readonly high: number;
  /** Height of a row in pixels; absent: cells are square. */
  readonly rowHeight?: number;
}

export class Heatmap {
  readonly element: HTMLElement;
  private readonly canvas = el("canvas");
  private readonly rowMark = el("div", { class: "mark" });
  private readonly columnMark = el("div", { class: "mark" });
  private readonly board: HTMLElement;
  private readonly readout = el("figcaption", { class: "readout" });
  private readonly describe: (row: number, column: number, value: number) => string;
  private matrix: Matrix | undefined;
  private layout: Layout | undefined;
  private cell: readonly [number, number] = [-1, -1];

  /** name: what screen readers call it. describe: what is written of a cell that the reader points at. */
  constructor(name: string, describe: (row: number, column: number, value: number) => string) {
    this.describe = describe;
    this.board = el("div", { class: "board", tabindex: 0, role: "img", "aria-label": name }, this.canvas, this.rowMark, this.columnMark);
    this.element = el("figure", { class: "heatmap" }, el("div", { class: "scroll" }, this.board), this.readout);
    this.board.addEventListener("pointermove", (event) => this.point(event));
    this.board.addEventListener("pointerdown", (event) => this.point(event));
    this.board.addEventListener("keydown", (event) => this.move(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
    document.addEventListener("themechange", () => this.draw());
    void document.fonts.ready.then(() => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** note: what is written while the reader points at no cell. */
  show(matrix: Matrix, note = ""): void {
    this.matrix = matrix;
    this.cell = [-1, -1];
    this.readout.textContent = note;
    this.draw();
  }

  private draw(): void {
    const { matrix, element, canvas } = this;
    if (!matrix || !element.isConnected || element.clientWidth === 0) return;
    const context = canvas.getContext("2d");
    if (!context) return;
    this.layout = measure(context, matrix, element.clientWidth);
    const { width, height } = this.layout;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    for (const sized of [canvas, this.board]) {
      sized.style.setProperty("width", `${width}px`);
      sized.style.setProperty("height", `${height}px`);
    }
    context.scale(ratio, ratio);
    labelled(context, matrix, this.layout, element);
    paint(context, matrix, this.layout, shades(matrix.scale, element));
    this.mark();
  }

  private point({ offsetX, offsetY }: PointerEvent): void {
    const { matrix, layout } = this;
    if (!matrix || !layout) return;
    const column = Math.floor((offsetX - layout.left) / layout.cellWidth);
    const row = Math.floor((offsetY - layout.top) / layout.cellHeight);
    if (row >= 0 && row < matrix.rows && column >= 0 && column < matrix.columns) this.choose(row, column, false);
  }

  private move(event: KeyboardEvent): void {
    const steps: Readonly<Record<string, readonly [number, number]>> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    if (!step || !this.matrix || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [row, column] = this.cell[0] < 0 ? [0, 0] : [this.cell[0] + step[0], this.cell[1] + step[1]];
    const { rows, columns } = this.matrix;
    this.choose(Math.min(Math.max(row, 0), rows - 1), Math.min(Math.max(column, 0), columns - 1), true);
  }

  private choose(row: number, column: number, byKey: boolean): void {
    if (!this.matrix) return;
    this.cell = [row, column];
    this.readout.setAttribute("aria-live", byKey ? "polite" : "off");
    this.readout.textContent = this.describe(row, column, this.matrix.values[row * this.matrix.columns + column] ?? NaN);
    this.mark();
  }

  // Its row and its column, framed.
  private mark(): void {
    const [row, column] = this.cell;
    const { layout, matrix } = this;
    const isChosen = row >= 0 && layout !== undefined && matrix !== undefined;
    this.rowMark.hidden = this.columnMark.hidden = !isChosen;
    if (!isChosen) return;
    const { left, top, cellWidth, cellHeight } = layout;
    place(this.rowMark, left, top + row * cellHeight, matrix.columns * cellWidth, cellHeight);
    place(this.columnMark, left + column * cellWidth, top, cellWidth, matrix.rows * cellHeight);
  }
}

/** Draws the cells. */
export function paint(
  context: CanvasRenderingContext2D,
  { rows, columns, values, low, high }: Matrix,
  { left, top, cellWidth, cellHeight }: Pick<Layout, "left" | "top" | "cellWidth" | "cellHeight">,
  palette: readonly string[],
): void {
  const gapX = cellWidth >= 9 ? 1 : 0;
  const gapY = cellHeight >= 9 ? 1 : 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      context.fillStyle = palette[shade(values[row * columns + column] ?? 0, low, high)] ?? "";
      context.fillRect(left + column * cellWidth, top + row * cellHeight, cellWidth - gapX, cellHeight - gapY);
    }
  }
}

function place(element: HTMLElement, x: number, y: number, width: number, height: number): void {
  for (const [property, value] of Object.entries({ left: x, top: y, width, height })) {
    element.style.setProperty(property, `${value}px`);
  }
}
