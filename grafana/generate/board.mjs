// The common parts of all boards: variables, annotations, links, and rows of panels.

import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { DATASOURCE } from "./panels.mjs";
import { FIRING, own } from "./queries.mjs";

/** The tag by which the boards link to each other. A new board is linked from all others through it. */
const TAG = "skriptoteket";

/**
 * A board.
 *
 * `name` is the end of its uid and of its file name. It must not change, because links use it. `question` is the
 * question that the board answers. `rows` are the panels, from the top. `services` adds the choice of services.
 */
export function board({ name, title, question, rows, services = false }) {
  const builder = new dashboard.DashboardBuilder(title)
    .uid(`skriptoteket-${name}`)
    .description(question)
    .tags([TAG])
    .readonly()
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .time({ from: "now-6h", to: "now" })
    .refresh("30s")
    .variables(variables(services))
    .annotations(annotations())
    .link(
      new dashboard.DashboardLinkBuilder("Skriptoteket")
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags([TAG])
        .includeVars(true)
        .keepTime(true),
    );
  for (const panel of rows.flat()) {
    builder.withPanel(panel);
  }
  return shown(builder.build());
}

/** Shows links and annotations at the top of the board. The SDK would hide them in a menu. */
function shown(built) {
  for (const it of [...built.links, ...built.annotations.list]) {
    delete it.placement;
  }
  return built;
}

/** Panels side by side, all of this height. Their widths add up to 24. */
export const row = (height, ...panels) => panels.map((panel) => panel.height(height));

/** A series that every replica has from its start to its end. */
const REPLICA = "skriptoteket_session_census_up";

/** A series that every service has, including the combined unregistered ones, from when a replica first learns of it. */
const SERVICE = "skriptoteket_successful_auths_total";

function variables(services) {
  const query = (name, label, expr) =>
    new dashboard.QueryVariableBuilder(name)
      .label(label)
      .datasource(DATASOURCE)
      .query({ query: expr, refId: name })
      .definition(expr)
      .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
      .sort(dashboard.VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue(".+")
      .current({ selected: true, text: ["All"], value: ["$__all"] });
  return [
    new dashboard.DatasourceVariableBuilder("datasource").label("Data source").type("prometheus").current({
      selected: true,
      text: "Prometheus",
      value: "prometheus",
    }),
    query("job", "Job", `label_values(${REPLICA}, job)`),
    query("instance", "Replica", `label_values(${REPLICA}{job=~"$job"}, instance)`),
    ...(services ? [query("service", "Service", `label_values(${SERVICE}{job=~"$job"}, service_id)`)] : []),
  ];
}

function annotations() {
  const annotation = (name, color, expr, title, tags) =>
    new dashboard.AnnotationQueryBuilder()
      .name(name)
      .datasource(DATASOURCE)
      .enable(true)
      .iconColor(color)
      .expr(expr)
      .titleFormat(title)
      .textFormat("")
      .tagKeys(tags)
      .step("60s");
  const replica = own(REPLICA);
  return [
    annotation(
      "Alerts firing",
      "red",
      FIRING,
      "{{alertname}}",
      "severity",
    ),
    // Each process has its own instance, so a start shows as an instance that did not exist before.
    annotation(
      "Replicas started",
      "blue",
      `${replica} unless on(job,instance) ${replica} offset $__rate_interval`,
      "Replica started",
      "instance",
    ),
  ];
}
