"""The page: everything of one or several runs in one HTML file that needs nothing else."""

from html import escape

import plots
from axes import count_text, number_text, time_text
from results import fitted

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1d2733; background: #ffffff; }
h2 { margin-top: 3rem; } h3 { margin-top: 2.2rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.8rem; text-align: right; border-bottom: 1px solid #dde3ea; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.missed, .failed { color: #b3261e; } .reached { color: #0d7a4f; }
.note { color: #667280; }
@media (prefers-color-scheme: dark) {
  body { color: #e4e9ef; background: #141a21; } th, td { border-color: #303a45; }
  .missed, .failed { color: #ff8a80; } .reached { color: #5fd6a2; } .note { color: #98a4b1; } }
"""

METHOD = ("Medians, with quartiles in brackets. <em>Speed</em> is the time of the peer over that of the "
          "subject (the first line of each table) in the same round: above 1 the subject is faster. Only the "
          "speeds mean much: contenders of one run took turns, those of different runs did not.")


def page(runs, title):
    body = [f"<h1>{escape(title)}</h1>", f"<p>{METHOD}</p>"]
    for run in runs:
        body += run_section(run)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
            f"<title>{escape(title)}</title>\n<style>{STYLE}{plots.STYLE}</style>\n</head>\n<body>\n"
            + "\n".join(body) + "\n</body>\n</html>\n")


def run_section(run):
    parts = [f"<h2>{escape(run.name)}</h2>", context_line(run.context)]
    whole = [comparison for comparison in run.comparisons if not comparison.failure]
    speeds = plots.speeds_plot(whole)
    if speeds:
        parts += ["<h3>Speed against every peer</h3>",
                  '<p class="note">The dashed line is equal speed; orange: below what is wanted.</p>', speeds]
    for family in run.families():
        parts += family_section(family)
    for comparison in run.comparisons:
        parts += comparison_section(comparison)
    return parts


def context_line(context):
    words = [str(context[key]) for key in ("date", "host_name") if context.get(key)]
    if context.get("num_cpus"):
        words.append(f"{context['num_cpus']} processors")
    if context.get("mhz_per_cpu"):
        words.append(f"{context['mhz_per_cpu']} MHz")
    if context.get("load_avg"):
        words.append("load " + ", ".join(number_text(float(load)) for load in context["load_avg"]))
    return f'<p class="note">{escape(" · ".join(words))}</p>' if words else ""


# ----------------------------------------------------------------------------------------------------------------------
# One comparison
# ----------------------------------------------------------------------------------------------------------------------

def comparison_section(comparison):
    head = f"<h3>{escape(comparison.name)}</h3>"
    if comparison.failure:
        return [head, f'<p class="failed">Failed: {escape(comparison.failure)}</p>']
    parts = [head]
    if comparison.repetitions > 1:
        parts.append(f'<p class="note">{comparison.repetitions} repetitions</p>')
    if len(comparison.contenders) > 1:
        parts.append(plots.times_plot(comparison))
    rows = "\n".join(contender_row(contender) for contender in comparison.contenders)
    parts.append('<div class="wide"><table>\n<tr><th></th><th>time</th><th>quartiles</th><th>speed</th>'
                 f"<th>quartiles</th><th>wanted</th></tr>\n{rows}\n</table></div>")
    return parts


def contender_row(contender):
    time, speed = contender.seconds, contender.speed
    cells = [escape(contender.name), time_text(time.median), range_text(time, time_text),
             number_text(speed.median) if speed else "", range_text(speed, number_text) if speed else ""]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + wanted_cell(contender) + "</tr>"


def range_text(spread, words):
    return f"[{words(spread.low)} .. {words(spread.high)}]"


def wanted_cell(contender):
    if contender.wanted is None:
        return "<td></td>"
    if contender.speed:
        reached, words = contender.speed.median >= contender.wanted, f"≥ {number_text(contender.wanted)}"
    else:
        reached, words = contender.seconds.median <= contender.wanted, f"≤ {time_text(contender.wanted)}"
    verdict = "reached" if reached else "missed"
    return f'<td class="{verdict}">{words}: {verdict}</td>'


# ----------------------------------------------------------------------------------------------------------------------
# A family
# ----------------------------------------------------------------------------------------------------------------------

def family_section(family):
    """On logarithmic axes all contenders; on straight ones the subject with the line through it."""
    names = family.contenders()
    fit = fitted(family.points(names[0]))
    return [f"<h3>{escape(family.name)}: time against {escape(family.quantity)}</h3>",
            plots.family_plot(family, names, logarithmic=True),
            plots.family_plot(family, names[:1], logarithmic=False, fit=fit),
            f"<p>{escape(fit_sentence(names[0], family.quantity, fit))}</p>", family_table(family, names)]


def fit_sentence(name, quantity, fit):
    sign = "+" if fit.slope >= 0 else "−"
    sentence = f"{name}: {time_text(fit.start)} {sign} {time_text(abs(fit.slope))} × {quantity} (dashed)"
    if fit.exponent is not None:
        sentence += f"; the best power law grows with the power {number_text(fit.exponent)}"
    return sentence + "."


def family_table(family, names):
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for number, comparison in family.members:
        times = {c.name: c.seconds for c in comparison.contenders}
        cells = "".join(f"<td>{time_text(times[name].median) if name in times else ''}</td>"
                        for name in names)
        rows.append(f"<tr><td>{count_text(number)}</td>{cells}</tr>")
    return (f'<div class="wide"><table>\n<tr><th>{escape(family.quantity)}</th>{head}</tr>\n'
            + "\n".join(rows) + "\n</table></div>")
