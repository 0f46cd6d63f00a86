// Rules for one board: mistakes that Grafana accepts silently and displays badly.

/** The panels that the product promises, by their exact titles, with what they must query. */
const PROMISED = {
  "Active Sessions": ["timeseries", /skriptoteket_active_sessions\{/],
  "Login Rate": ["timeseries", /by \(status\) \(rate\(skriptoteket_logins_total\{[^}]*\}\[5m\]\)\)/],
  "Login Success Rate": ["gauge", /skriptoteket_logins_total\{[^}]*status="success"[^}]*\}/],
  "Users by Role": ["timeseries", /skriptoteket_users_by_role\{/],
};

/** Returns the expressions of a board (of panels, annotations and variables), each with its location `where`. */
export function expressions(board) {
  return [
    ...board.panels.flatMap((panel) =>
      panel.targets.map((it) => ({ panel: panel.title, ref: it.refId, expr: it.expr, instant: it.instant })),
    ),
    ...board.annotations.list.map((it) => ({ annotation: it.name, expr: it.expr, instant: false })),
    ...board.templating.list
      .filter((it) => it.type === "query")
      .map((it) => {
        const [, series, label] = it.query.query.match(/^label_values\((.+), (\w+)\)$/);
        return { variable: it.name, expr: series, label };
      }),
  ];
}

/** Returns the faults of a board, as sentences. `file` is the name of its file. */
export function faults(board, file) {
  const found = [];
  const want = (holds, sentence) => holds || found.push(sentence);

  want(`${board.uid}.json` === file, "the uid is not the name of the file");
  want(board.schemaVersion === 42, "schemaVersion is not 42");
  want(board.editable === false, "editable");
  want(board.graphTooltip === 1, "no shared crosshair");
  want(board.refresh === "30s" && board.time.from === "now-6h", "another refresh or time range than the others");
  want(board.description, "no description");
  want(!("__inputs" in board), "__inputs: the file is an export, not a board");
  want(board.links.some((it) => it.tags.every((tag) => board.tags.includes(tag))), "no link among the boards");
  found.push(...variables(board.templating.list), ...annotations(board.annotations.list));

  for (const panel of board.panels) {
    found.push(...panelFaults(panel).map((it) => `${panel.title}: ${it}`));
  }
  for (const key of ["id", "title"]) {
    const values = board.panels.map((panel) => panel[key]);
    want(new Set(values).size === values.length, `two panels have the same ${key}`);
  }
  found.push(...grid(board.panels));
  if (board.uid === "skriptoteket-overview") {
    found.push(...promised(board.panels));
  }
  return found;
}

function variables(list) {
  const found = [];
  const [source, ...others] = list;
  if (source?.name !== "datasource" || source.type !== "datasource") {
    found.push("the first variable is not the datasource");
  }
  const services = others.filter((it) => it.name === "service").map((it) => it.name);
  for (const name of ["job", "instance", ...services]) {
    const it = others.find((other) => other.name === name);
    if (!it?.multi || !it.includeAll || it.allValue !== ".+" || it.refresh !== 2) {
      found.push(`variable ${name}: not multi, All = .+, refreshed with the time range`);
    }
  }
  return found;
}

function annotations(list) {
  const strange = list.filter((it) => it.datasource.uid !== "${datasource}" || !it.expr);
  return strange.map((it) => `annotation ${it.name}: no expression, or another datasource`);
}

function panelFaults(panel) {
  const found = [];
  const want = (holds, sentence) => holds || found.push(sentence);
  const { defaults } = panel.fieldConfig;
  const first = defaults.thresholds?.steps[0];

  want(Number.isInteger(panel.id), "no id");
  want(panel.title && panel.description, "no title or description");
  want(panel.description?.endsWith("."), "the description is no sentence");
  want(defaults.unit, "no unit");
  want(defaults.noValue, "no noValue");
  want(defaults.color?.mode, "no color.mode: all series get one colour");
  want(
    defaults.color?.mode !== "thresholds" || (first?.value === null && first.color !== "transparent"),
    "a value below the first threshold cannot be seen",
  );
  want(panel.datasource?.uid === "${datasource}", "another datasource");
  want(panel.targets?.length > 0, "no query");
  for (const target of panel.targets ?? []) {
    want(target.datasource.uid === "${datasource}", `query ${target.refId}: another datasource`);
    want(target.legendFormat, `query ${target.refId}: no legend`);
    want(
      target.instant || !["stat", "gauge", "bargauge", "table"].includes(panel.type),
      `query ${target.refId}: of a range, so a value that is gone would stay`,
    );
    want(target.instant !== target.range, `query ${target.refId}: neither instant nor range, or both`);
  }
  return found;
}

/** Panels must not overlap, and rows must be filled. */
function grid(panels) {
  const cells = new Map();
  const found = [];
  for (const { title, gridPos: at } of panels) {
    for (let y = at.y; y < at.y + at.h; y += 1) {
      for (let x = at.x; x < at.x + at.w; x += 1) {
        const cell = `${x} ${y}`;
        if (cells.has(cell) || x >= 24) {
          found.push(`${title} lies over ${cells.get(cell) ?? "the edge"}`);
          return found;
        }
        cells.set(cell, title);
      }
    }
  }
  const height = Math.max(...panels.map(({ gridPos: at }) => at.y + at.h));
  if (cells.size !== 24 * height) {
    found.push("there are holes between the panels");
  }
  return found;
}

function promised(panels) {
  const found = [];
  for (const [title, [type, query]] of Object.entries(PROMISED)) {
    const panel = panels.find((it) => it.title === title);
    if (panel?.type !== type || !panel.targets.every((it) => query.test(it.expr))) {
      found.push(`${title} is promised, as ${type}, with its query`);
    }
  }
  return found;
}
