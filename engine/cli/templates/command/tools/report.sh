# The first words as a page: report.sh COUNTS HOW-MANY OUTPUT
set -eu
{
    echo "# The $2 most frequent words"
    echo
    head -n "$2" "$1" | awk -F '\t' '{ print "- " $2 ": " $1 }'
} > "$3"
