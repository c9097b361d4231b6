"""Texts that would run a script, or break a page, where a value gets onto a page without being escaped.

Each one that runs sets ``window.__pwned``; the template marks would multiply to 1787569.
"""

from __future__ import annotations

PRODUCT = "1787569"
"""What 1337 times 1337 is: it stands on a page only where a value was taken for a template."""
HOSTILE = [
    # Tags
    "<script>window.__pwned=1</script>",
    "</script><script>window.__pwned=1</script>",
    "<SCRIPT/x>window.__pwned=1</SCRIPT>",
    "<scr<script>ipt>window.__pwned=1</scr</script>ipt>",
    "</title><script>window.__pwned=1</script>",
    "</textarea><script>window.__pwned=1</script>",
    "</pre></code><script>window.__pwned=1</script>",
    "</option></select><script>window.__pwned=1</script>",
    "--><script>window.__pwned=1</script><!--",
    "]]><script>window.__pwned=1</script>",
    "<script src=//127.0.0.1:1/x.js></script>",
    "<iframe srcdoc='<script>parent.__pwned=1</script>'></iframe>",
    "<iframe src=javascript:parent.__pwned=1></iframe>",
    "<object data=javascript:window.__pwned=1></object>",
    "<embed src=javascript:window.__pwned=1>",
    "<base href=//127.0.0.1:1/>",
    "<meta http-equiv=refresh content='0;url=javascript:__pwned=1'>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//127.0.0.1:1/x.css>",
    "<template><script>window.__pwned=1</script></template>",
    # Handlers
    "<img src=x onerror=window.__pwned=1>",
    "<img/src=x/onerror=window.__pwned=1>",
    "<image src=x onerror=window.__pwned=1>",
    "<body onload=window.__pwned=1>",
    "<details open ontoggle=window.__pwned=1>x</details>",
    "<input autofocus onfocus=window.__pwned=1>",
    "<video><source onerror=window.__pwned=1></video>",
    "<p tabindex=1 autofocus onfocus=window.__pwned=1>x</p>",
    "<marquee onstart=window.__pwned=1>x</marquee>",
    "<x style=animation-name:beat onanimationstart=window.__pwned=1>",
    # SVG and MathML
    "<svg onload=window.__pwned=1>",
    "<svg><script>window.__pwned=1</script></svg>",
    "<svg><animate onbegin=window.__pwned=1 attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:window.__pwned=1><text y=20>x</text></a></svg>",
    "<svg><style><img src=x onerror=window.__pwned=1></style></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.__pwned=1>",
    # Out of an attribute
    '"><script>window.__pwned=1</script>',
    "'><script>window.__pwned=1</script>",
    '" onmouseover="window.__pwned=1" x="',
    "' autofocus onfocus='window.__pwned=1",
    '" autofocus onfocus=window.__pwned=1 x="',
    "` onmouseover=window.__pwned=1 `",
    "x onmouseover=window.__pwned=1",
    '" hx-on::load="window.__pwned=1" x="',
    '" hx-get="javascript:window.__pwned=1" hx-trigger="load" x="',
    '"><form action=javascript:window.__pwned=1><button>x</button></form>',
    # Links
    "javascript:window.__pwned=1",
    "JaVaScRiPt:window.__pwned=1//",
    "data:text/html,<script>opener.__pwned=1</script>",
    "//127.0.0.1:1/%2e%2e/",
    # Out of JSON and of templates
    '"}]};window.__pwned=1;//',
    '\\"}</script><script>window.__pwned=1</script>',
    "\\u003cscript\\u003ewindow.__pwned=1\\u003c/script\\u003e",
    "&lt;script&gt;window.__pwned=1&lt;/script&gt;",
    "{{1337*1337}} ${1337*1337} #{1337*1337} <%= 1337*1337 %>",
    "{% for x in range(9) %}{{1337*1337}}{% endfor %}",
    "{{config}}{{self.__init__.__globals__}}{{1337*1337}}",
    # Unicode
    "\uff1cscript\uff1ewindow.__pwned=1\uff1c/script\uff1e",
    "\u0130<\u017fcript>window.__pwned=1</\u017fcript>\ufb00",
    "\U0001d4bd\u00e9" + "\u0301" * 20 + "llo <b>\u202e\ufdfd\ufdfd</b> \U0001f469\u200d\U0001f467 " + "漢字" * 12,
]  # fmt: skip
assert len(HOSTILE) >= 60
