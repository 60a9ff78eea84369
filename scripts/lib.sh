# shellcheck shell=bash
# What scripts/test and scripts/demo share: packages, the Docker engine, a registry, builds, background processes.
#
# Sourced, never run. It changes to the checkout's root. Whoever sources it sets WORK first: the folder for
# everything that is made and is no build output.
set -euo pipefail
shopt -s inherit_errexit

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
: "${WORK:?set it before sourcing lib.sh}"

export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
# Everything here is on loopback; a proxy must not come between.
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}" no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"
# Builds go where the scripts look for them.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET CARGO_BUILD_TARGET_DIR
# A snapshot test that writes what it saw would pass by itself.
export INSTA_UPDATE=no

say() { printf '%s\n' "$@"; }
note() { printf '   %s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# wait_until SECONDS COMMAND…: polls until the command succeeds; fails at the deadline.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# ---------------------------------------------------------------------------------------------------------------------
# Packages

# ensure_packages [COMMAND=PACKAGE…]: installs the Debian packages of those commands that are not there.
ensure_packages() {
    local pair missing=()
    for pair in "$@"; do
        have "${pair%%=*}" || missing+=("${pair#*=}")
    done
    # A linker needs more than its program: the C library to link with, also as an archive.
    if ! have cc; then missing+=(gcc libc6-dev); fi
    # libgit2 speaks SSH and HTTPS with OpenSSL.
    if ! pkg-config --exists openssl 2>/dev/null; then missing+=(libssl-dev pkg-config); fi
    # cargo fetches over HTTPS.
    if [ ! -e /etc/ssl/certs/ca-certificates.crt ] && [ ! -e /etc/pki/tls/certs/ca-bundle.crt ]; then
        missing+=(ca-certificates)
    fi
    [ ${#missing[@]} -gt 0 ] || return 0
    have apt-get || die "missing: ${missing[*]} (Debian's names). There is no apt-get here; please install them"
    [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}. Please run: sudo apt-get install --no-install-recommends ${missing[*]}"
    note "installing ${missing[*]}"
    local log="$WORK/apt.log"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "installing packages failed; all of it is in $log"
    fi
    # Later Debians have Docker's client in a package of its own.
    if [[ " ${missing[*]} " == *" docker.io "* ]] && ! have docker; then
        apt-get install -y --no-install-recommends docker-cli >>"$log" 2>&1 </dev/null || die "no package brings docker; see $log"
    fi
    # The registry is started by us, with a configuration of our own; Debian's would listen on every address.
    if [[ " ${missing[*]} " == *" docker-registry "* ]] && [ -d /run/systemd/system ]; then
        systemctl disable --now docker-registry >>"$log" 2>&1 || true
    fi
    # Tests run sshd in a container only; nobody asked for one on this host.
    if [[ " ${missing[*]} " == *" openssh-server "* ]] && [ -d /run/systemd/system ]; then
        systemctl disable --now ssh >>"$log" 2>&1 || true
    fi
}

ensure_rust() {
    have cargo || PATH="$HOME/.cargo/bin:$PATH"
    have cargo || die "there is no cargo; please install a Rust toolchain (https://rustup.rs)"
}

# ---------------------------------------------------------------------------------------------------------------------
# The Docker engine

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Uses the engine that runs; only where none answers, starts one. It is never stopped or restarted from here.
ensure_engine() {
    export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
    [[ $DOCKER_HOST == unix://* ]] || die "DOCKER_HOST is $DOCKER_HOST; this needs an engine on this host, by its socket"
    if engine_answers; then
        note "Docker engine $(docker version --format '{{.Server.Version}}') runs, and is used as it is"
        return
    fi
    [ "$(id -u)" = 0 ] || die "no Docker engine answers at $DOCKER_HOST; starting one needs root"
    ensure_packages dockerd=docker.io iptables=iptables
    if [ -d /run/systemd/system ]; then
        note "starting the Docker engine (systemctl start docker)"
        systemctl start docker || die "it does not start: journalctl -u docker"
        wait_until 60 engine_answers || die "it does not answer: journalctl -u docker"
    else
        local log=/var/log/dockerd.log
        note "starting the Docker engine (dockerd, log in $log)"
        setsid dockerd </dev/null >>"$log" 2>&1 9>&- &
        if ! wait_until 60 engine_answers; then
            tail -n 10 "$log" >&2
            die "the Docker engine does not answer; all of its log is in $log"
        fi
    fi
    note "Docker engine $(docker version --format '{{.Server.Version}}') is ready"
}

# ---------------------------------------------------------------------------------------------------------------------
# Background processes and ports. $WORK/run/NAME.pid holds "PID STARTED PROGRAM", so that a process that has got the
# number of a dead one is not taken for it.

start_time_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The second field is the name in brackets, which may hold anything; the start time is the 20th after it.
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    printf '%s' "${20}"
}

# start_process NAME COMMAND…: starts it in the background, out of Ctrl-C's reach, with its log in $WORK/log.
start_process() {
    local name=$1 pid
    shift
    mkdir -p "$WORK/run" "$WORK/log"
    # Descriptor 9 is the lock of scripts/demo, which must not outlive it.
    setsid "$@" </dev/null >>"$WORK/log/$name.log" 2>&1 9>&- &
    pid=$!
    printf '%s %s %s\n' "$pid" "$(start_time_of "$pid")" "${1##*/}" >"$WORK/run/$name.pid"
}

# is_running NAME: whether that very process lives.
is_running() {
    local pid started program
    read -r pid started program 2>/dev/null <"$WORK/run/$1.pid" || return 1
    # It may end between the two looks.
    [ "$(start_time_of "$pid")" = "$started" ] && { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -q -m 1 -F -- "$program"
}

# stop_process NAME: ends it if it is the one that was started.
stop_process() {
    local pid
    if is_running "$1"; then
        read -r pid _ <"$WORK/run/$1.pid"
        kill "$pid" 2>/dev/null || true
        wait_until 10 not is_running "$1" || kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$WORK/run/$1.pid"
}

not() { ! "$@"; }

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port_of NAME FIRST: the port that was chosen for NAME before, or a free one from FIRST on.
port_of() {
    local name=$1 port=$2 file="$WORK/ports/$1"
    mkdir -p "$WORK/ports"
    if [ -s "$file" ]; then
        port=$(cat "$file")
        if is_running "$name" || ! listens "$port"; then
            echo "$port"
            return
        fi
    fi
    while listens "$port"; do port=$((port + 1)); done
    echo "$port" | tee "$file"
}

answers() { curl -fsS -o /dev/null --max-time 2 "$1" 2>/dev/null; }

# Starts a registry on loopback, unless ours runs. Sets REGISTRY to its address.
ensure_registry() {
    local port
    port=$(port_of registry 5610)
    REGISTRY=127.0.0.1:$port
    if is_running registry && answers "http://$REGISTRY/v2/"; then
        note "registry on $REGISTRY runs"
        return
    fi
    stop_process registry
    mkdir -p "$WORK/registry"
    cat >"$WORK/registry.yml" <<CONFIG
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $WORK/registry}, delete: {enabled: true}}
http: {addr: $REGISTRY}
CONFIG
    start_process registry docker-registry serve "$WORK/registry.yml"
    wait_until 20 answers "http://$REGISTRY/v2/" || die "the registry does not answer; see $WORK/log/registry.log"
    note "registry on $REGISTRY started"
}

# ---------------------------------------------------------------------------------------------------------------------
# Builds

# What people run, as fast as they run it.
build_release() { cargo build --release --locked -p tidegate -p tidegate-s3; }

# The two static programs: the porter for the engine, the stand-in for its images.
build_static() {
    scripts/build-porter >/dev/null
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --release --locked -p standin --target "$(host_triple)" --target-dir target/static
}

host_triple() { rustc -vV | sed -n 's/^host: //p'; }

# Where build_static leaves them, for tests and image makers.
name_static() {
    export TIDEGATE_PORTER="$ROOT/target/debug/tidegate-porter-static"
    STANDIN_BIN="$ROOT/target/static/$(host_triple)/release/standin"
    export STANDIN_BIN
}
