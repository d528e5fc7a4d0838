# How often every word occurs, the most frequent first: count.sh WORDS OUTPUT
set -eu
sort "$1" | uniq -c | sort -k1,1nr -k2,2 | awk '{ print $1 "\t" $2 }' > "$2"
