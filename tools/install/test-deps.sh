#!/bin/sh
# Installs the programs that the tests start and that Go does not bring:
# whatever of the list below is missing, nothing else. It says nothing where
# all is there, and on failure which command a person has to run.
set -eu

# A need a line: the programs, any one of which will do, then the packages
# that bring it with apt, dnf, apk, pacman and brew. A dash stands for "not
# to be had there"; plus signs stand between several packages.
needs='
mariadbd                                        mariadb-server mariadb-server mariadb  mariadb  mariadb
mariadb-install-db                              mariadb-server mariadb-server mariadb  mariadb  mariadb
redis-server,valkey-server                      redis-server   valkey         redis    valkey   redis
prometheus                                      prometheus     -              prometheus prometheus prometheus
promtool                                        prometheus     -              prometheus prometheus prometheus
chromium,chromium-browser,google-chrome,google-chrome-stable chromium chromium chromium chromium -
gcc,cc,clang                                    gcc+libc6-dev  gcc+glibc-devel gcc+musl-dev gcc -
'

# Servers live in the sbin folders, which a user's PATH may leave out.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

have() { # PROGRAM[,PROGRAM...]
	for program in $(echo "$1" | tr ',' ' '); do
		if command -v "$program" >/dev/null 2>&1; then
			return 0
		fi
	done
	# The browser of a Mac is an application, not a program in PATH.
	case $1 in
	chromium*) [ -x '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome' ] ;;
	*) return 1 ;;
	esac
}

# missing COLUMN prints what that column names for each need that is not met,
# one a line, each once. Of several programs it names the first.
missing() {
	echo "$needs" | while read -r programs packages; do
		if [ -n "$programs" ] && ! have "$programs"; then
			echo "${programs%%,*} $packages" | tr -s ' ' | cut -d ' ' -f "$1" | tr '+' '\n'
		fi
	done | sort -u
}

fail() {
	printf 'test-deps: %s\n' "$@" >&2
	exit 1
}

# oneline joins the words of its input, leaving out the dashes.
oneline() { grep -vx -e '-' | tr '\n' ' ' | sed 's/ $//'; }

absent=$(missing 1 | oneline)
if [ -z "$absent" ]; then
	exit 0
fi

if command -v apt-get >/dev/null 2>&1; then
	column=2 install='apt-get install -y --no-install-recommends'
elif command -v dnf >/dev/null 2>&1; then
	column=3 install='dnf install -y --setopt=install_weak_deps=False'
elif command -v apk >/dev/null 2>&1; then
	column=4 install='apk add --no-cache'
elif command -v pacman >/dev/null 2>&1; then
	column=5 install='pacman -S --noconfirm --needed'
elif command -v brew >/dev/null 2>&1; then
	column=6 install='brew install'
else
	fail "the tests need $absent" 'no package manager known here was found: install them and run this again'
fi

packages=$(missing "$column" | oneline)
by_hand="run this, then try again: $install $packages"
if [ -z "$packages" ]; then
	fail "the tests need $absent" 'no package brings them here: install them and run this again'
fi

# Homebrew refuses to run as root; the others need it.
as_root=
if [ "$column" != 6 ] && [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		fail "the tests need $absent" 'only root may install here and there is no sudo' "as root, $by_hand"
	fi
	as_root=sudo
	if ! [ -t 0 ] && ! sudo -n true 2>/dev/null; then
		fail "the tests need $absent" 'sudo would ask for a password and there is no terminal' "with sudo, $by_hand"
	fi
fi

log=$(mktemp)
policy=
cleanup() {
	rm -f "$log"
	if [ -n "$policy" ]; then
		$as_root rm -f "$policy"
	fi
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

run() {
	if ! $as_root "$@" >>"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		fail "this did not work: $*" "the tests need $absent" "$by_hand"
	fi
}

# On Debian an installed server is started at once, unless this program
# forbids it. The tests start servers of their own. One that is there already
# is somebody's decision and stays.
forbid_starting_services() {
	if [ -e /usr/sbin/policy-rc.d ]; then
		return
	fi
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
}

echo "test-deps: installing $packages" >&2
# The list of packages is split into words on purpose.
# shellcheck disable=SC2086
case $column in
2)
	forbid_starting_services
	run apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -q update
	run env DEBIAN_FRONTEND=noninteractive $install -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 $packages
	;;
5) run pacman -Sy --noconfirm --needed $packages ;;
*) run $install $packages ;;
esac

absent=$(missing 1 | oneline)
if [ -n "$absent" ]; then
	fail "still missing after installing $packages: $absent" 'no package of this system brings them: install them by hand'
fi
