// Expressions with a fault that the rules must find, and some without: a rule that never finds a fault is useless.

const OWN = 'job=~"$job",instance=~"$instance"';

const SERVICES = { byService: true };

/** An expression, a word of the fault that it has (undefined if it has none), and the options of the board. */
export const SAMPLES = [
  [`sum(rate(skriptoteket_logins_total{${OWN}}[5m]))`, undefined],
  [`sum(rate(skriptoteket_logins_total{${OWN}}[5m])`, "no PromQL"],
  [`sum(rate(skriptoteket_logins_total{${OWN}}[$window]))`, "a variable"],
  [`sum(rate(skriptoteket_logons_total{${OWN}}[5m]))`, "not in the catalogue"],
  ['sum(rate(skriptoteket_logins_total{instance=~"$instance"}[5m]))', "no job"],
  ['sum(rate(skriptoteket_logins_total{job=~"$job"}[5m]))', "no instance"],
  [`sum(skriptoteket_logins_total{${OWN}})`, "without rate"],
  [`sum(rate(skriptoteket_logins_total{${OWN},reason="idle"}[5m]))`, "has no label"],
  [`sum(rate(skriptoteket_logins_total{${OWN},status="ok"}[5m]))`, "is never"],
  ['max(skriptoteket_active_sessions{job=~"$job"})', undefined],
  ['sum(skriptoteket_active_sessions{job=~"$job"})', "wants max"],
  ['skriptoteket_active_sessions{job=~"$job"}', "wants max"],
  [`max(skriptoteket_active_sessions{${OWN}})`, "none of the replicas"],
  [`histogram_quantile(0.9, sum by (le) (rate(skriptoteket_login_duration_seconds_bucket{${OWN}}[5m])))`, ">= 0"],
  [`sum(rate(skriptoteket_login_duration_seconds{${OWN}}[5m]))`, "not in the catalogue"],
  ['sum(increase(skriptoteket:sessions_started:max{job=~"$job"}[1h]))', undefined],
  ["sum(increase(skriptoteket:sessions_started:max[1h]))", "no job"],
  [`sum(increase(skriptoteket:sessions_started:max{${OWN}}[1h]))`, "instance is none"],
  ['sum(increase(skriptoteket:sessions_begun:max{job=~"$job"}[1h]))', "no rule records"],
  ['max(increase(skriptoteket_sessions_started_total{job=~"$job"}[1h]))', "another replica"],
  ['sum(max by (job, role) (skriptoteket_sessions_started_total{job=~"$job"}))', undefined],
  ['(sum(up{job=~"skriptoteket.*"}) or vector(0)) / (count(up{job=~"skriptoteket.*"}) > 0)', undefined],
  ['sum(prometheus_x) or vector(0) / (count(prometheus_x) > 0)', "parentheses"],
  ['sum(prometheus_x) / count(prometheus_x)', "divide by 0"],
  ["count(up) > 0", "other services"],
  ['count(ALERTS{alertstate="firing"})', "other services"],
  ['sum(otelcol_exporter_queue_size)', "other services"],
  ['sum({__name__=~"otelcol_exporter_queue_size(_total)?"})', "other services"],
  ['count({job=~"$job"})', "without a name"],
  [`sum(rate(skriptoteket_successful_auths_total{${OWN},service_id=~"$service"}[5m]))`, undefined, SERVICES],
  [`sum(rate(skriptoteket_successful_auths_total{${OWN},service_id=~"$service"}[5m]))`, "a variable"],
  [`sum(rate(skriptoteket_successful_auths_total{${OWN}}[5m]))`, "were picked", SERVICES],
  [`sum(rate(skriptoteket_successful_auths_total{${OWN}}[5m]))`, undefined],
  ['max(skriptoteket_active_services{job=~"$job"})', undefined, SERVICES],
  [`max(skriptoteket_service_health{job=~"$job",health="lazy"})`, "is never"],
];
