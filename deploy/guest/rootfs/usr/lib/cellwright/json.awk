# Flattens a JSON document: one line per scalar, path and value divided by a tab, as in
#   /public_keys/mine<TAB>ssh-ed25519 AAAA...
#   /networks/0/type<TAB>ipv4_dhcp
# Line ends and tabs inside a string become blanks; a null has no line. Ends with status 1 when the text is not JSON.
function unquote(text,    out, position, next_, code) {
    text = substr(text, 2, length(text) - 2)
    out = ""
    while ((position = index(text, "\\")) > 0) {
        out = out substr(text, 1, position - 1)
        next_ = substr(text, position + 1, 1)
        text = substr(text, position + 2)
        if (next_ == "u") {
            code = hex(substr(text, 1, 4))
            text = substr(text, 5)
            out = out ((code >= 32 && code < 127) ? sprintf("%c", code) : (code < 32 ? " " : "?"))
        } else if (index("nrtbf", next_) > 0) out = out " "
        else out = out next_
    }
    return out text
}
function hex(digits,    value, i) {
    value = 0
    for (i = 1; i <= length(digits); i++) value = value * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return value
}
function bad() { failed = 1; exit 1 }
function place() { return kind[depth] == "[" ? path[depth] "/" count[depth] : path[depth] "/" name[depth] }
function scalar(value, quoted) {
    if (depth == 0) bad()
    if (value != "null" || quoted) print place() "\t" value
    expect_name = 0
}
{ document = document $0 "\n" }
END {
    if (failed) exit 1
    depth = 0; expect_name = 0
    while (match(document, /^[ \t\r\n]*("([^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null|[][{}:,])/)) {
        token = substr(document, 1, RLENGTH)
        document = substr(document, RLENGTH + 1)
        sub(/^[ \t\r\n]+/, "", token)
        first = substr(token, 1, 1)
        if (first == "{" || first == "[") {
            here = depth == 0 ? "" : place()
            depth++
            kind[depth] = first; path[depth] = here; count[depth] = 0
            expect_name = first == "{"
        } else if (first == "}" || first == "]") {
            if (depth == 0) exit 1
            depth--
            expect_name = 0
        } else if (first == ",") {
            if (depth == 0) exit 1
            count[depth]++
            expect_name = kind[depth] == "{"
        } else if (first == ":") {
            expect_name = 0
        } else if (first == "\"") {
            if (expect_name) name[depth] = unquote(token)
            else scalar(unquote(token), 1)
        } else scalar(token, 0)
    }
    if (depth != 0 || document !~ /^[ \t\r\n]*$/) exit 1
}
