"""The HTML of a report: one file that needs no network and no other file."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark; --ink: #1f2933; --soft: #66727f; --line: #d9dee3;
          --paper: #ffffff; --card: #f6f7f9; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e8ebee; --soft: #9aa5b1; --line: #3a434d; --paper: #15191e; --card: #1d232a; }
    svg text { fill: currentColor; } svg line[stroke="#e5e7eb"] { stroke: #3a434d; }
  }
  body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
         max-width: 72rem; padding: 2rem 1rem 4rem; }
  h1 { line-height: 1.15; margin: 0 0 .3rem; } h2 { margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line); }
  h3 { margin: 1.6rem 0 .3rem; }
  .lead { font-size: 1.25rem; margin: .4rem 0 1rem; } .note, figcaption, dt { color: var(--soft); font-size: .9rem; }
  .clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
  figure { margin: 0; background: var(--card); padding: .6rem; border-radius: .5rem; }
  figure img { width: 100%; display: block; border-radius: .25rem; }
  figcaption b { color: var(--ink); font-weight: 600; }
  table { border-collapse: collapse; font-size: .92rem; display: block; overflow-x: auto; }
  th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
           white-space: nowrap; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
  dd { margin: 0; overflow-wrap: anywhere; }
  code { background: var(--card); padding: .05rem .3rem; border-radius: .2rem; } svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="lead">{{ lead }}</p>
{% if not_met %}<p><b>Targets missed or undecided:</b> {{ not_met | join("; ") }}</p>{% endif %}

{% if rates %}
<h2>How often it is shown</h2>
<p class="note">{{ rates_note }}</p>
{{ rates | safe }}
{% endif %}

{% if charts %}
<p class="note">{{ charts_note }}</p>
{% for title, chart in charts %}
<h2>{{ title }}</h2>
{{ chart | safe }}
{% endfor %}
{% endif %}

{% for group in groups %}
<h2>{{ group.title }}</h2>
<p class="note">{{ group.note }}</p>
<div class="clips">
{% for pair in group.pairs %}
<figure><img src="{{ pair.source }}" alt="{{ pair.caption }}: before on the left, after on the right" loading="lazy">
<figcaption><b>{{ pair.caption }}</b><br>{{ pair.reading }}</figcaption></figure>
{% endfor %}
</div>
{% endfor %}

<h2>Numbers</h2>
{% for table in tables %}{{ table.to_html() | safe }}{% endfor %}

{% if preferences %}
<h2>Which block of the text encoder</h2>
<p class="note">{{ preferences_note }}</p>
{{ preferences | safe }}
{% endif %}

{% if features %}
<h2>Features that are taken out</h2>
<p class="note">{{ features_note }}</p>
{{ features.to_html() | safe }}
{% endif %}

<h2>How this was made</h2>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
</body>
</html>
"""
