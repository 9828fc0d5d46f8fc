"""An SVG of the ratios: one bar a figure, its spread, the aim as a mark."""
import math
import statistics
from xml.sax.saxutils import escape

LEFT, WIDTH, ROW, TOP = 330, 430, 46, 74
GOOD, BAD, PLAIN = "#2b8a5a", "#c0392b", "#6b7f99"


def parts(f):
    """What is drawn of a figure: ratio to its limit, or to its aim when it has no limit."""
    values = f.ratios or ([v / f.aim for v in f.values] if f.aim else [])
    aim = f.aim if f.ratios else 1.0
    return values, aim


def svg(figures, foot):
    drawn = [f for f in figures if parts(f)[0]]
    most = max([1.0] + [max(max(parts(f)[0]), parts(f)[1] or 0) for f in drawn])
    # Ratios are compared by factors: a logarithmic scale, whole decades on the left.
    low = math.floor(math.log10(min([1.0] + [min(parts(f)[0]) for f in drawn])))
    high = math.log10(most * 1.15)

    def x(v):
        return LEFT + WIDTH * (math.log10(max(v, 10 ** low)) - low) / (high - low)
    height = TOP + ROW * len(drawn) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 {height}" width="980" height="{height}" '
           'font-family="sans-serif" font-size="13" fill="#1f2933">',
           f'<rect width="980" height="{height}" fill="#ffffff"/>',
           '<text x="20" y="28" font-size="18" font-weight="bold">Punchline against what is below it</text>',
           '<text x="20" y="48" fill="#52606d">ratio of each figure to its limit, measured in turn in one run; bars: '
           'median, lines: least and greatest, marks: aim</text>']
    for decade in range(low, math.floor(high) + 1):
        for k in (1, 2, 5):
            v = k * 10 ** decade
            if low <= math.log10(v) <= high:
                out.append(f'<line x1="{x(v):.1f}" y1="{TOP - 4}" x2="{x(v):.1f}" y2="{TOP + ROW * len(drawn)}" '
                           f'stroke="{"#9aa5b1" if v == 1 else "#e4e7eb"}"/>'
                           f'<text x="{x(v):.1f}" y="{TOP + ROW * len(drawn) + 18}" text-anchor="middle" '
                           f'fill="#52606d">{v:g}</text>')
    for i, f in enumerate(drawn):
        out += bar(f, TOP + ROW * i, x, low)
    out.append(f'<text x="20" y="{height - 14}" font-size="11" fill="#7b8794">{escape(foot)}</text></svg>')
    return "\n".join(out) + "\n"


def bar(f, y, x, low):
    values, aim = parts(f)
    mid = statistics.median(values)
    colour = {None: PLAIN, True: GOOD, False: BAD}[f.met()]
    value = statistics.median(f.values)
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    wish = "" if f.aim is None else f", aim {'at most' if f.most else 'at least'} {f.aim:g}"
    against = f.limit_is if f.ratios else f"aim: {f.aim:g} {f.unit}"
    out = [f'<text x="{LEFT - 12}" y="{y + 18}" text-anchor="end">{escape(f.name)}</text>',
           f'<text x="{LEFT - 12}" y="{y + 33}" text-anchor="end" font-size="11" fill="#7b8794">'
           f'{escape(against)}</text>',
           f'<rect x="{LEFT}" y="{y + 6}" width="{max(1, x(mid) - LEFT):.1f}" height="22" rx="2" fill="{colour}" '
           'fill-opacity="0.85"/>',
           f'<line x1="{x(min(values)):.1f}" y1="{y + 17}" x2="{x(max(values)):.1f}" y2="{y + 17}" stroke="#1f2933" '
           'stroke-width="1.5"/>',
           f'<text x="{LEFT + WIDTH + 16}" y="{y + 18}">{mid:.2f}x</text>',
           f'<text x="{LEFT + WIDTH + 16}" y="{y + 33}" font-size="11" fill="#7b8794">{shown} {escape(f.unit)}{wish}</text>']
    if aim:
        out.append(f'<line x1="{x(aim):.1f}" y1="{y + 1}" x2="{x(aim):.1f}" y2="{y + 33}" stroke="#1f2933" '
                   f'stroke-width="2.5" stroke-dasharray="4 2"/>')
    return out
