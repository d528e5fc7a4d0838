# One word a line, in lower case: words.sh FOLDER OUTPUT
set -eu
cat "$1"/*.txt | tr '[:upper:]' '[:lower:]' | tr -cs '[:alpha:]' '\n' | sed '/^$/d' > "$2"
