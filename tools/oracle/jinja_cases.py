"""Small cases over the Jinja language, with what jinja2 makes of them in the environment of transformers."""
import json
import re

from template_cases import render

DATA = {
    "n": 7, "z": 0, "neg": -7, "f": 2.5, "big": 1234567890123456789, "t": True, "no": False, "none": None, "s": "Hello World", "e": "",
    "u": "ÄÖü ß 你好 👩‍💻", "html": "<a href='x'>&\"</a>", "l": [3, 1, 2], "l0": [], "ls": ["b", "a", "C"], "d": {"b": 2, "a": 1, "c": None},
    "d0": {}, "nested": {"x": {"y": [{"z": "deep"}]}}, "mixed": [1, "a", 2.0, None, True, [1], {"k": "v"}],
    "people": [{"name": "Ann", "age": 30, "city": "Bern"}, {"name": "Bob", "age": 25, "city": "Rome"}, {"name": "Cid", "age": 30, "city": "Bern"}],
    "tree": [{"n": "a", "kids": [{"n": "b", "kids": []}, {"n": "c", "kids": [{"n": "d", "kids": []}]}]}, {"n": "e", "kids": []}],
    "ws": "  pad \n", "lines": "one\ntwo\n\nthree", "path": "a/b/c.txt", "items": [1, 2], "obj": {"items": "mine", "keys": 3},
}

# name -> templates; every template is one case with DATA as its context
CASES = {
"output": [
    "plain text", "{{ n }}", "{{n}}{{ s }}", "a{{ none }}b", "{{ t }} {{ no }} {{ none }}", "{{ l }} {{ d }} {{ mixed }}", "{{ f }} {{ 1.0 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e-5 }} {{ 1.5e300 }}",
    "{{ 'it''s' }}", "{{ 'a' 'b' }}", "{{ \"dq \\\"x\\\" \\n\\t\\\\ \\u00e9\" }}", "{{ 'x\\ny' }}", "{{ [] }}{{ {} }}{{ () }}{{ (1,) }}{{ (1, 2) }}", "{{ ['a', \"it's\", 'q\"'] }}", "{{ {'a': [1, {'b': 2}], 3: 'x'} }}",
    "{{ u }}", "{{ html }}", "{{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 0o17 }}", "{{ big }} {{ big + 1 }}", "{{ -n }} {{ +n }} {{ --n }} {{ not n }} {{ not not n }}", "{{ [u, 'é', '\\n'] }}", "{# comment #}x{# multi\nline #}",
    "{% raw %}{{ not }} {% this %}{% endraw %}", "{%- raw -%} {{ x }} {%- endraw -%} y", "{{ '{{ }}' }}", "{{ '%}' }}{{ \"#}\" }}", "{{ true }} {{ True }} {{ none }} {{ None }} {{ false }}",
    "{{ ['\\\\', '\\t', '\\x01', '\\x7f', 'ÿ'] }}",
],
"arithmetic": [
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ 7.5 // 2 }}", "{{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }}", "{{ 7 / 2 }} {{ 6 / 2 }} {{ 1 / 3 }}", "{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 2 ** 3 ** 2 }}",
    "{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 2 - 3 - 4 }} {{ 100 / 10 / 2 }}", "{{ -2 ** 2 }}", "{{ 1 + 1.0 }} {{ 3 * 1.5 }} {{ 3 * 2.0 }}", "{{ 'ab' * 3 }} {{ [1, 2] * 2 }} {{ [1] + [2] }} {{ 'a' + 'b' }}",
    "{{ 'a' ~ 1 ~ 2.0 ~ none ~ true }}", "{{ 1 ~ 2 + 3 }}", "{{ 10 - 2 ~ 'x' }}", "{{ true + 1 }} {{ true == 1 }} {{ 1 == 1.0 }}", "{{ 9007199254740993 * 2 }} {{ 1073741824 * 4294967296 }}", "{{ 5 * -3 }} {{ 5 - -3 }}", "{{ 1.0 * 3 }} {{ 10.0 / 4 }} {{ 1e15 * 10 }} {{ 123456789.123 }}",
    "{{ 100000000000000000.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ -0.0 }} {{ 3.14159265358979 }}", "{{ 'a%sb' % 'X' }} {{ '%d-%05.2f' % (3, 2.5) }}", "{{ n + f }} {{ n * z }} {{ n - 10 }}", "{{ 7 // 2.0 }} {{ 2 ** 3.0 }}",
],
"compare": [
    "{{ 1 < 2 }} {{ 2 <= 2 }} {{ 3 > 4 }} {{ 3 >= 3 }} {{ 1 != 2 }} {{ 1 == 2 }}", "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 > 1 }}", "{{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ 'abc' < 'abd' }}", "{{ [1, 2] == [1, 2] }} {{ [1] < [2] }} {{ d == {'a': 1, 'b': 2, 'c': none} }}",
    "{{ 1 in l }} {{ 9 not in l }} {{ 'lo' in s }} {{ 'a' in d }} {{ 1 in d }} {{ '' in s }}", "{{ true and false }} {{ true or false }} {{ not true }} {{ not false and true }}", "{{ 0 or 'x' }} {{ 1 and 'y' }} {{ '' or none }} {{ none and 1 }}", "{{ 1 if t else 2 }} {{ 1 if no else 2 }} [{{ 1 if no }}]",
    "{{ 'a' if z else 'b' if n else 'c' }}", "{{ ('x' if t else 'y') ~ 'z' }}", "{{ not 1 == 2 }} {{ not (1 == 2) }}", "{{ 1 + 1 == 2 and 'yes' or 'no' }}", "{{ none == none }} {{ none == false }} {{ 0 == false }} {{ '' == false }}", "{{ 'a' == 'a' == true }}", "{{ l == [3, 1, 2] and d['a'] == 1 }}",
    "{{ (1, 2) == (1, 2) }} {{ (1, 2) == [1, 2] }}", "{{ 1 in (1, 2) }} {{ 'k' in {'k': 0} }}", "{{ missing == none }} {{ missing is none }} {{ missing == missing2 }}",
],
"access": [
    "{{ d.a }} {{ d['b'] }} {{ nested.x.y[0].z }} {{ nested['x']['y'][-1]['z'] }}", "{{ l[0] }} {{ l[-1] }} {{ s[0] }} {{ s[-1] }} {{ u[0] }}{{ u[-1] }}", "[{{ d.missing }}] [{{ d['missing'] }}] [{{ l[9] }}]", "{{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[-2:] }} {{ l[5:] }}",
    "{{ s[1:4] }} {{ s[:-3] }} {{ s[::-1] }} {{ s[-5:] }} {{ s[2:2] }}", "{{ u[:3] }}|{{ u[::-1][:2] }}", "{{ obj.items }} {{ obj['items'] }}", "{{ obj.keys }}", "{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }}", "{{ d.get('a') }} {{ d.get('x') }} {{ d.get('x', 'dflt') }}", "{{ people[0].name }} {{ people[-1]['age'] }}",
    "{{ [1, 2, 3][1] }} {{ {'a': 5}.a }} {{ 'abc'[1] }} {{ (4, 5)[0] }}", "{{ l.0 }} {{ people.1.name }}", "{{ d[ls[1]] }}", "{{ nested.x['y'] | length }}", "{{ l[l[1]] }} {{ l[n - 6] }}", "{{ l[1:n] }} {{ l[none:2] }} {{ s[n:] }}", "{{ s[::3] }} {{ l[2:0:-1] }} {{ l[-1:0:-1] }}",
],
"undefined": [
    "[{{ missing }}]", "{{ missing is defined }} {{ missing is undefined }} {{ n is defined }}", "{{ missing or 'x' }}", "{% if missing %}a{% else %}b{% endif %}", "{{ missing | default('d') }} {{ none | default('d') }} {{ none | default('d', true) }} {{ '' | default('d', boolean=true) }}", "{{ missing.attr }}", "{{ missing['x'] }}", "{{ missing() }}", "{{ missing + 1 }}",
    "{% for x in missing %}a{% else %}none{% endfor %}", "{{ missing | length }}", "{{ missing ~ 'x' }}", "{{ d.missing.deeper }}", "{{ d.missing is defined }} {{ d.a is defined }} {{ l[9] is defined }}", "{{ not missing }}", "{{ missing | list }}", "{{ missing == 1 }} {{ missing != 1 }}", "{{ missing | upper }}", "{{ missing in l }}", "{{ 'x' in missing }}",
    "{{ missing | join(',') }}", "{{ missing | trim }}", "{{ missing < 1 }}", "{{ none.x }}", "[{{ n.x }}]", "[{{ s.nosuch }}]", "{{ s.nosuch() }}", "{{ none[0] }}", "{{ -missing }}", "{{ missing | tojson }}", "{{ [missing] }}",
],
"strings": [
    "{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.swapcase() }}", "[{{ ws.strip() }}] [{{ ws.lstrip() }}] [{{ ws.rstrip() }}]", "{{ 'xxaxx'.strip('x') }} {{ 'abcab'.strip('ab') }} {{ 'xyz'.lstrip('yx') }} {{ 'xyz'.rstrip('zy') }}", "{{ 'a,b,,c'.split(',') }} {{ 'a b  c'.split() }} {{ ' a b '.split(' ') }} {{ 'a,b,c'.split(',', 1) }}",
    "{{ 'a,b,c'.rsplit(',', 1) }} {{ '  a b c '.split(none, 1) }}", "{{ lines.splitlines() }}", "{{ s.startswith('He') }} {{ s.endswith('ld') }} {{ s.startswith('x') }} {{ s.startswith(('x', 'H')) }}", "{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'aaa'.replace('', '-') }}", "{{ s.find('o') }} {{ s.find('zz') }} {{ s.rfind('o') }} {{ s.count('l') }} {{ s.index('W') }}",
    "{{ ','.join(ls) }} {{ ''.join(['x', 'y']) }}", "{{ '42'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }}", "{{ '7'.zfill(3) }} [{{ 'x'.center(5) }}] [{{ 'x'.ljust(3) }}] [{{ 'x'.rjust(3, '.') }}]", "{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }}",
    "{{ '{} and {}'.format(1, 'x') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=5) }}", "{{ u.upper() }} {{ u.lower() }}", "{{ 'straße'.upper() }} {{ 'İ'.lower() | length }}", "{{ s.split('</think>')[-1].lstrip('\\n') }}", "{{ '<think>\\nx\\n</think>\\n\\nanswer'.split('</think>')[-1].lstrip('\\n') }}", "{{ 'a\\tb'.expandtabs(4) }}", "{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }}",
    "{{ 'abc'.index('z') }}", "{{ 'x'.nope() }}", "{{ s | length }} {{ u | length }}",
],
"filters": [
    "{{ s | upper }} {{ s | lower }} {{ s | title }} {{ s | capitalize }}", "[{{ ws | trim }}] {{ 'xxaxx' | trim('x') }}", "{{ l | length }} {{ d | count }} {{ '' | length }}", "{{ l | first }} {{ l | last }} {{ s | first }} {{ l0 | first }}", "{{ l | join }} {{ l | join(', ') }} {{ people | join('+', attribute='name') }} {{ mixed | join('/') }}", "{{ l | sort }} {{ l | sort(reverse=true) }} {{ ls | sort }} {{ ls | sort(case_sensitive=true) }}",
    "{{ people | sort(attribute='age') | map(attribute='name') | join(',') }} {{ people | sort(attribute='city,name', reverse=true) | map(attribute='name') | list }}", "{{ l | reverse | list }} {{ s | reverse }}", "{{ l | sum }} {{ people | sum(attribute='age') }} {{ l | sum(start=10) }}", "{{ l | max }} {{ l | min }} {{ ls | max }} {{ people | max(attribute='age') }}",
    "{{ [1, 2, 1, 3, 2] | unique | list }} {{ ['a', 'A', 'b'] | unique | list }}", "{{ people | map(attribute='name') | list }} {{ ls | map('upper') | list }} {{ people | map(attribute='zip', default='?') | list }} {{ [[1,2],[3]] | map('length') | list }}", "{{ people | selectattr('age', 'equalto', 30) | map(attribute='name') | list }} {{ people | rejectattr('age', 'gt', 26) | map(attribute='name') | list }}",
    "{{ [1, 0, 2, none, '', 'x'] | select | list }} {{ [1, 0, 2] | reject | list }} {{ [1, 2, 3, 4] | select('odd') | list }} {{ [1, 2, 3, 4] | reject('even') | list }} {{ [1, 5, 9] | select('>', 4) | list }}", "{{ people | groupby('city') | length }} {% for c, g in people | groupby('city') %}{{ c }}:{{ g | map(attribute='name') | join('+') }};{% endfor %}",
    "{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }}", "{{ '3' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ 3.9 | int }} {{ '3.7' | int }} {{ '0x1f' | int(0, 16) }} {{ true | int }}", "{{ '3.5' | float }} {{ 'x' | float }} {{ 3 | float }} {{ 'x' | float(1.5) }}", "{{ 3 | string }} {{ none | string }} {{ l | string }}",
    "{{ 3.14159 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }} {{ 1234.5 | round(-2) }} {{ 3 | round }}", "{{ -5 | abs }} {{ (-5) | abs }} {{ -2.5 | abs }}", "{{ 'a b c' | replace(' ', '-') }} {{ 'aaa' | replace('a', 'b', 2) }}", "{{ html | e }} {{ html | escape }}", "{{ html | e | safe }}", "{{ d | dictsort }} {{ d | dictsort(reverse=true) }} {{ {'b': 1, 'A': 2} | dictsort(false, 'value') }} {{ {'b': 1, 'A': 2} | dictsort(true) }}",
    "{{ d | items | list }} {{ d0 | items | list }}", "{{ 'hello world foo bar' | truncate(11) }} {{ 'hello world foo bar' | truncate(11, true) }} {{ 'hello' | truncate(10) }} {{ 'hello world' | truncate(9, true, '..', 0) }}", "{{ 'one two three' | wordcount }}", "{{ lines | indent }} | {{ lines | indent(2, true) }} | {{ lines | indent(3, blank=true) }} | {{ lines | indent('> ') }}", "[{{ 'x' | center(7) }}]",
    "{{ '%s=%d' | format('a', 5) }}", "{{ l | list }} {{ 'abc' | list }} {{ d | list }}", "{{ 'a b&c/d?' | urlencode }} {{ {'a': 'x y', 'b': 1} | urlencode }} {{ 'é' | urlencode }}", "{{ '<b>x</b> y' | striptags }}", "{{ 1000000 | filesizeformat }} {{ 1 | filesizeformat }} {{ 2048 | filesizeformat(true) }}", "{{ 'The quick brown fox' | wordwrap(10) }}", "{{ d | attr('a') }}|{{ s | attr('upper') is defined }}",
    "{{ {'a': 1, 'b': none} | xmlattr }}", "{{ l | random is number }}", "{{ s | nosuchfilter }}", "{{ n | upper }} {{ none | upper }}", "{{ l | map('string') | join('|') }}", "{{ people | map(attribute='name') | map('lower') | map('first') | join }}", "{{ [[3, 'c'], [1, 'a']] | sort | list }} {{ [[1, 2], [3, 4]] | map(attribute=1) | list }}", "{{ people | selectattr('name', 'in', ['Ann', 'Cid']) | list | length }} {{ people | selectattr('zip') | list }} {{ people | selectattr('zip', 'undefined') | list | length }}",
    "{{ people | map(attribute='name') | first }}", "{{ l | select('in', [1, 2]) | list }}", "{{ s | lower | replace('o', '0') | title }}", "{{ (l | length) + 1 }} {{ l | length + 1 }}", "{{ 'a' ~ 'b' | upper }}", "{{ 2 * 3 | string }}", "{{ -1 | abs }}", "{{ not l0 | length }}", "{{ d | length > 2 and s | length < 100 }}", "{{ [4, none] | first }} {{ [none, 4] | last }}", "{{ [1, 'a'] | sort }}", "{{ 5 | length }}", "{{ s | default('x') | length }}", "{% filter upper %}abc {{ s }}{% endfilter %}", "{{ '' | first }}|{{ [] | last }}",
],
"tojson": [
    "{{ l | tojson }} {{ d | tojson }} {{ s | tojson }} {{ none | tojson }} {{ true | tojson }} {{ f | tojson }}", "{{ u | tojson }} {{ html | tojson }}", "{{ mixed | tojson }}", "{{ nested | tojson(indent=2) }}", "{{ d | tojson(indent=4) }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=2) }} {{ [[], {}] | tojson(indent=1) }}", "{{ d | tojson(sort_keys=true) }}", "{{ d | tojson(separators=(',', ':')) }}", "{{ u | tojson(ensure_ascii=true) }}",
    "{{ 'q\"b\\\\s/ \\n\\t\\r\\x01\\x7f\\u2028' | tojson }}", "{{ [1.0, 1e100, 0.1, -0.0, 1e-7, 123456789012345680.0, 1e22, 1e21] | tojson }}", "{{ {1: 2, true: 3, none: 4, 2.5: 5} | tojson }}", "{{ (1, 2) | tojson }}", "{{ big | tojson }}", "{{ people | tojson(indent=2) }}", "{{ {'a': 1, 'b': [1, 2]} | tojson(indent=2, separators=(',', ': ')) }}", "{{ s.upper | tojson }}",
],
"tests": [
    "{{ n is number }} {{ s is number }} {{ t is number }} {{ f is number }}", "{{ s is string }} {{ n is string }} {{ none is string }}", "{{ d is mapping }} {{ l is mapping }} {{ none is mapping }}", "{{ l is iterable }} {{ s is iterable }} {{ n is iterable }} {{ d is iterable }}", "{{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }}", "{{ none is none }} {{ n is none }} {{ none is not none }}", "{{ t is true }} {{ no is false }} {{ 1 is true }} {{ t is boolean }} {{ 1 is boolean }}",
    "{{ n is integer }} {{ f is integer }} {{ f is float }} {{ n is float }} {{ t is integer }}", "{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }}", "{{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is gt 2 }} {{ 1 is ge 1 }} {{ 1 is le 0 }} {{ 1 is sameas 1 }} {{ t is sameas true }}", "{{ 1 is in l }} {{ 9 is not in l }} {{ 'a' is in 'abc' }}", "{{ 'ABC' is upper }} {{ 'abc' is lower }} {{ 'aBc' is upper }}", "{{ raise_exception is callable }} {{ n is callable }}", "{{ n is not string and s is string }}", "{{ not n is string }}",
    "{{ n is defined and n is number and n > 3 }}", "{{ s is escaped }}", "{{ 'upper' is filter }} {{ 'nosuch' is filter }} {{ 'odd' is test }}", "{{ n is nosuchtest }}", "{{ n is number is true }}", "{{ l | length is gt 2 }}", "{{ 1 is not defined }}", "{{ content is string if content is defined else 'undefined' }}", "{{ undefined_thing is not string }} {{ undefined_thing is iterable }} {{ undefined_thing is mapping }} {{ undefined_thing is sequence }}", "{{ 'x' is string == true }}",
],
"loops": [
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in l0 %}a{% else %}empty{% endfor %}", "{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }} {% endfor %}", "{% for x in l %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.cycle('odd', 'even') }} {% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}-{{ b }} {% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %}", "{% for x in l if x > 9 %}{{ x }}{% else %}nothing{% endfor %}", "{% for i in range(3) %}{{ i }}{% endfor %} {% for i in range(1, 10, 3) %}{{ i }}{% endfor %} {% for i in range(3, 0, -1) %}{{ i }}{% endfor %}", "{% for x in [1, 2, 3, 4] %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for n in tree recursive %}{{ n.n }}{% if n.kids %}({{ loop(n.kids) }}){% endif %}{% endfor %}", "{% for n in tree recursive %}{{ loop.depth }}{{ loop.depth0 }}{{ n.n }} {{ loop(n.kids) }}{% endfor %}", "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}", "{% for x in l %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ y }} {% endfor %}{% endfor %}", "{% for x in l %}{% set y = x %}{% endfor %}[{{ y }}][{{ x }}]", "{% set y = 1 %}{% for x in l %}{% set y = x %}{{ y }}{% endfor %}{{ y }}", "{% for c in 'héllo' %}{{ c }}.{% endfor %}", "{% for x in n %}{% endfor %}",
    "{% for m in people[::-1] %}{{ m.name }}{{ '' if loop.last else ', ' }}{% endfor %}", "{% for x in l | sort %}{{ x }}{% endfor %}", "{% for x in l + [9] %}{{ x }}{% endfor %}", "{% for a, b in people | map(attribute='name') | zip %}{% endfor %}", "{% for m in people %}{% if not loop.first and people[loop.index0 - 1].city == m.city %}same{% endif %}{{ m.city }} {% endfor %}", "{% for x in l %}{{ loop }}{% endfor %}", "{% for x in [] %}{% endfor %}after", "{% for x in range(5) | list | reverse %}{{ x }}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{% for x in range(3) %}{% for y in range(3) %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}", "{{ range(4) | list }} {{ range(10)[2:4] | list }} {{ range(3) | length }}", "{% break %}", "{% for key, val in d.items() if val is not none %}{{ key }}{{ ', ' if not loop.last }}{% endfor %}",
],
"set": [
    "{% set x = 5 %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set x %}block {{ n }}{% endset %}[{{ x }}]", "{% set x | upper %}block{% endset %}{{ x }}", "{% set ns = namespace(a=1) %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.x = 'v' %}{{ ns.x }}[{{ ns.y }}]", "{% set ns = namespace({'a': 3}, b=4) %}{{ ns.a }}{{ ns.b }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% set d.a = 5 %}", "{% set n = n + 1 %}{{ n }}", "{% set x = [1] %}{{ x.append(2) }}", "{% set y = {'a': 1} %}{{ y.update({'b': 2}) }}",
    "{% set x = 'a' if t else 'b' %}{{ x }}", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}[{{ a }}]", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}[{{ q }}]", "{% set x = namespace(list=[]) %}{% for i in l %}{% set x.list = x.list + [i * 2] %}{% endfor %}{{ x.list }}", "{% set ns = namespace(found=false) %}{% for m in people %}{% if m.name == 'Bob' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}", "{% set loop_messages = people[1:] %}{{ loop_messages | length }}", "{% set x = 1, 2, 3 %}{{ x }}", "{% set x = dict(a=1, b='q') %}{{ x.a }}{{ x }}", "{% set a = b = 1 %}", "{% set x = none %}{{ x is none }}{{ x is defined }}", "{% set (a, b) = [7, 8] %}{{ a }}{{ b }}",
],
"if": [
    "{% if n > 5 %}big{% elif n > 2 %}mid{% else %}small{% endif %}", "{% if z %}a{% elif e %}b{% elif l0 %}c{% elif d0 %}d{% elif none %}e{% else %}f{% endif %}", "{% if n %}{% if s %}{% if l %}deep{% endif %}{% endif %}{% endif %}", "{% if n is defined and n %}x{% endif %}", "{% if not (n == 7 and z) %}y{% endif %}", "{% if 'a' in d and d.a %}has{% endif %}", "{% if (n == 7) or missing.x.y %}short{% endif %}", "{% if f == 2.5 %}eq{% endif %}{% if 0.0 %}zero{% endif %}{% if '0' %}str{% endif %}", "{% if n %}unclosed", "{% endif %}", "{% if %}x{% endif %}", "{% if n > 5 -%} a {%- endif %} b",
],
"macros": [
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(a=5) }} {{ m(b=1, a=0) }}", "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}", "{% macro m() %}{{ varargs }} {{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m(l) %}{% for x in l %}{{ caller(x) }};{% endfor %}{% endmacro %}{% call(x) m(l) %}v{{ x }}{% endcall %}",
    "{% macro fact(n) %}{% if n < 2 %}1{% else %}{{ n * (fact(n - 1) | int) }}{% endif %}{% endmacro %}{{ fact(5) }}", "{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}[{{ m('a') }}]", "{% set x = 'outer' %}{% macro m() %}{{ x }}{% set x = 'inner' %}{{ x }}{% endmacro %}{{ m() }}{{ x }}", "{% macro m() %}{% set ns.v = 2 %}{% endmacro %}{% set ns = namespace(v=1) %}{{ m() }}{{ ns.v }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m('a') ~ m('b') }} {{ m('c') | upper }} {{ [m('d')] }}", "{{ m.name }}{% macro m(a, b=1) %}{% endmacro %}{{ m.name }} {{ m.arguments }} {{ m.catch_kwargs }} {{ m.caller }}",
    "{% macro outer() %}{% macro inner(q) %}({{ q }}){% endmacro %}{{ inner('z') }}{% endmacro %}{{ outer() }}", "{% macro m(a=none, b=[]) %}{{ a is none }}{{ b | length }}{% endmacro %}{{ m() }}{{ m(b=[1]) }}", "{{ undefined_macro(1) }}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(kind) %}{% if kind == 'a' %}A{% elif caller is defined %}{{ caller() }}{% endif %}{% endmacro %}{{ m('a') }}{% call m('b') %}B{% endcall %}",
],
"whitespace": [
    "a {%- if t %} b {% endif -%} c", "a\n{% if t %}\nb\n{% endif %}\nc", "  {% if t %}\n  b\n  {% endif %}\n", "x\n  {{ n }}\n  y", "{% for x in l %}\n{{ x }}\n{% endfor %}\n", "{% for x in l -%}\n  {{ x }}\n{%- endfor %}", "a\n\n{%- if t %}\n\nb{% endif %}", "{{- n -}}  x  {{- n }}", "  {#- c -#}  y", "x {# c #}\ny", "  {# c #}\n  y", "a {%+ if t %}b{% endif %}", "    {%+ if t %}b{% endif %}\nc", "{% if t +%}\nb{% endif %}", "line\n\n", "\n\nline", "{{ n }}\n", "{{ n }}\n\n", "{% if t %}{% endif %}\n\nx", "\t{% if t %}\tb{% endif %}\t\n", "x  {% set a = 1 %}  \n y", "a{{ '\\n' }}\nb", "a\r\nb{% if t %}\r\nc{% endif %}\r\n", "{%- set a = 1 -%}\n\n  {{- a -}}\n\n", "{% raw %}\n x {% endraw %}\n y", "-{{ -1 }}-{{- -1 -}}-", "x{%- macro m() -%} in {%- endmacro -%} y{{ m() }}",
],
"calls": [
    "{{ raise_exception('my error') }}", "{% if no %}{{ raise_exception('x') }}{% endif %}ok", "{{ strftime_now('%%') }}", "{{ dict(a=1).a }} {{ dict({'x': 2}, y=3) }}", "{{ namespace(a=1).a }}", "{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}", "{{ range(3) }}", "{{ d.pop('a') }}", "{{ l.append(1) }}", "{{ l.index(1) }} {{ l.count(3) }}", "{{ d.copy() }} {{ d.items() | list | length }}", "{{ s.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ nosuch('x') }}", "{{ n() }}", "{{ s.upper().lower().split('o') | join('0') }}", "{{ d.items() | sort(attribute='0') | list }}", "{{ range(100000) | length }}", "{{ range(10 ** 9) }}",
    "{% generation %}abc{{ n }}{% endgeneration %}", "{% do 1 %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% autoescape true %}{{ html }}{% endautoescape %}", "{% block b %}x{% endblock %}", "{% nosuchtag %}", "{{ debug }}",
],
"syntax errors": [
    "{{ }}", "{{ 1 + }}", "{{ n", "{% for x in %}{% endfor %}", "{% for x l %}{% endfor %}", "{% for x in l %}", "{{ 'unclosed }}", "{{ (1, 2 }}", "{{ [1, 2 }}", "{{ {'a': } }}", "{% set %}", "{% macro %}{% endmacro %}", "{{ a b }}", "{{ n | }}", "{{ n is }}", "{% else %}", "{# unclosed", "{% raw %} x", "{{ 1 ++ }}", "{{ a.b. }}", "{{ a[ }}", "{% if t %}a{% else %}b{% else %}c{% endif %}", "{{ @ }}", "{{ n ! }}", "{% endfor %}", "{{ x = 1 }}", "{% set 1 = x %}", "{{ f(a=1, 2) }}", "{% if t %}{% endfor %}", "}}", "%}", "{ { n } }",
],
"idioms": [
    "{{ bos | default('') }}{% for m in people %}{{ '<|im_start|>' + m.name + '\\n' + m.city + '<|im_end|>' + '\\n' }}{% endfor %}", "{% for m in people %}{% if (m['age'] == 30) != (loop.index0 % 2 == 0) %}{{ raise_exception('bad') }}{% endif %}{{ loop.index0 }}{% endfor %}", "{%- for k, v in people[0] | items %}{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% set ns = namespace(last=people | length - 1) %}{% for m in people[::-1] %}{% set i = people | length - 1 - loop.index0 %}{% if m.city == 'Rome' %}{% set ns.last = i %}{% endif %}{% endfor %}{{ ns.last }}",
    "{{ (people | selectattr('name', 'equalto', 'Bob') | list | first).age }}", "{% set ms = people | rejectattr('city', 'equalto', 'Rome') | list %}{{ ms | length }}", "{{ 'yes' if (people | map(attribute='age') | max) > 29 else 'no' }}", "{% for t in mixed %}{% if t is mapping %}M{% elif t is string %}S{% elif t is iterable %}I{% elif t is none %}N{% elif t is boolean %}B{% elif t is number %}#{% endif %}{% endfor %}", "{{ nested.x.y[0].z.split('e')[0] + '!' }}", "{%- if people is defined and people | length > 0 and people[0]['name'] is string -%}ok{%- endif -%}", "{{- 'a' + ('b' if n == 7 else 'c') + \"d\" -}}", "{% if missing is not defined %}{% set missing = false %}{% endif %}{{ missing }}", "{{ people[-1].name + people[-2].name if people | length > 1 }}", "{{ '' if loop is defined else 'noloop' }}", "{{ {'role': 'user', 'content': s} | tojson }}", "{{ s | string | trim | length }}", "{{ (d.a | string) + '/' + (d.b | string) }}", "{{ [s, e, none] | select('string') | select | join('\\n\\n') }}", "{{ people | map(attribute='name') | join(', ') | replace('Ann', 'Äñn') }}",
],
}


def write(path):
    rows = []
    for group, templates in CASES.items():
        for i, template in enumerate(templates):
            # only what the template can see of the data: keeps the file small
            context = {k: v for k, v in DATA.items() if re.search(rf"\b{k}\b", template)}
            if "random" in template and "is number" not in template:
                continue
            result = render(template, context)
            if " at 0x" in str(result) or "<" in result.get("expected", "") and "object" in result.get("expected", ""):
                print("left out, gives an address:", template)
                continue
            rows.append({"name": f"{group} {i + 1}", "template": template, "context": context, **result})
    with open(path, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=True) for r in rows) + "\n]\n")
    print(len([r for r in rows if "error" in r]), "of the language cases are errors")
    return len(rows)


if __name__ == "__main__":
    print(write("/tmp/language.json"))
    for r in json.load(open("/tmp/language.json")):
        print(r["name"], "|", repr(r["template"]), "->", repr(r.get("expected", "ERR " + r.get("message", ""))))
