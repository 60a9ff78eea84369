# shellcheck shell=bash
# Behind the scenes of scripts/demo: setting up, running tidegate in view, checking, summing up, taking down.

declare -A APPS=()
PART="setting up"
FINISHED=

# ---------------------------------------------------------------------------------------------------------------------
# Setting up

begin() {
    mkdir -p -m 700 "$WORK" "$WORK/run" "$WORK/log" "$WORK/proof"
    lock_demo
    trap 'the_end_came_early $?' EXIT
    trap 'exit 130' INT TERM
    part "setting up (all of it in $WORK)"
}

lock_demo() {
    exec 9>"$WORK/lock"
    flock -n 9 || die "another scripts/demo runs (it holds $WORK/lock)"
}

prepare() {
    ensure_rust
    ensure_packages docker=docker.io docker-registry=docker-registry curl=curl jq=jq
    ensure_engine
    refuse_another_checkout
    note "building (the first time this takes minutes)"
    # Kept by name before tidegate makes any: what is there already is somebody else's.
    [ -e "$WORK/not-ours" ] || images_like 'tidegate.local/*' >"$WORK/not-ours"
    build_release
    build_static
    name_static
    sha256sum <"$TIDEGATE_PORTER" | cut -c 1-12 >>"$WORK/porters"
    PATH="$ROOT/target/release:$PATH"
    export TIDEGATE_CONFIG="$WORK/tidegate.toml"
    ensure_registry
    IMAGE=$REGISTRY/$PREFIX/appsmith-standin
    push_version "$OLD"
    push_version "$GOOD"
    push_version "$BAD" --broken "app:$BROKEN_APP"
}

# A clean stage: what an earlier run left of instances, state and store goes, so that the story is whole each time.
open_stage() {
    clear_stage
    port_of staging 8610 >/dev/null
    port_of production 8710 >/dev/null
    open_store
    write_config
    note "two instances of $OLD; the stand-in's waiting times are multiplied by $TIME_SCALE"
    start_instance staging "$OLD" 5 40 1
    start_instance production "$OLD" 8 240 2
    # From here they come from the registry, as versions do.
    forget_image "$IMAGE:$GOOD"
    forget_image "$IMAGE:$BAD"
    for instance in staging production; do
        await_instance "$instance"
        login "$instance" >/dev/null
        APPS[$instance]=$(applications_of "$instance" | paste -sd ,)
        note "$instance: ${APPS[$instance]}"
    done
}

open_store() {
    local port
    STORE_TEXT="a folder"
    STORE_CONFIG="url = \"file://$WORK/store\""
    mkdir -p "$WORK/store"
    [ "$STORE" = s3 ] || return 0
    port=$(port_of s3 9610)
    [ -s "$WORK/s3-secret" ] || (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '\n' >"$WORK/s3-secret")
    mkdir -p "$WORK/store/$PREFIX"
    AWS_ACCESS_KEY_ID=$PREFIX AWS_SECRET_ACCESS_KEY=$(cat "$WORK/s3-secret") \
        start_process s3 tidegate-s3 --dir "$WORK/store" --listen "127.0.0.1:$port" --bucket "$PREFIX"
    wait_until 20 listens "$port" || die "the S3 server does not answer; see $WORK/log/s3.log"
    note "S3 server on 127.0.0.1:$port started"
    STORE_TEXT="S3 over HTTP"
    STORE_CONFIG="url = \"s3://$PREFIX\"
endpoint = \"http://127.0.0.1:$port\"
region = \"us-east-1\"
path_style = true
access_key_id = \"$PREFIX\"
secret_access_key_file = \"s3-secret\""
}

write_config() {
    (umask 077 && printf %s "$ADMIN_PASSWORD" >"$WORK/password")
    cat >"$WORK/tidegate.toml" <<CONFIG
# Written by scripts/demo. \`tidegate config template\` shows every setting.
state_dir = "state"

[store]
$STORE_CONFIG

[ready]
# The stand-in is quick; the default for the real thing is 30 s.
stable_for = "2s"
poll = "250ms"

[pipeline]
image = "$IMAGE"
stages = ["staging", "production"]
$(for instance in staging production; do
        printf '\n[instances.%s]\n' "$instance"
        printf 'container = "%s"\n' "$(container_of "$instance")"
        printf 'url = "http://127.0.0.1:%s"\n' "$(port_of_instance "$instance")"
        printf 'login_user = "%s"\nlogin_password_file = "password"\nstop_grace = "60s"\n' "$ADMIN"
    done)
CONFIG
    tidegate config check
}

# ---------------------------------------------------------------------------------------------------------------------
# The story's words

part() {
    PART=$1
    say "" "== $1 =="
}

# tidegate_exits CODE ARGUMENTS…: runs tidegate in view; it must exit with that code.
tidegate_exits() {
    local wanted=$1 code=0
    shift
    say "" "\$ tidegate $(quoted "$@")"
    tidegate "$@" || code=$?
    must_exit "$wanted" "$code"
}

quoted() {
    local word line=
    for word in "$@"; do
        [[ $word != *" "* ]] || word="\"$word\""
        line+="$word "
    done
    echo "${line% }"
}

# tidegate_asks WORD ARGUMENTS…: runs it on a terminal of its own and types the word when it asks. It must exit with 0.
tidegate_asks() {
    local word=$1 code=0 log="$WORK/log/terminal.log" typist
    shift
    say "" "\$ tidegate $*"
    rm -f "$WORK/run/keyboard"
    mkfifo "$WORK/run/keyboard"
    : >"$log"
    # Opened for both ways, so that the keyboard is there from the beginning and never ends.
    exec 8<>"$WORK/run/keyboard"
    # Only asked, somebody types; a word that nobody asked for would prove nothing.
    (wait_until 120 grep -q 'type the name' "$log" && echo "$word" >&8) &
    typist=$!
    # Without a terminal of ours the inner one is asked to be plain.
    TERM=$([ -t 1 ] && echo "${TERM:-dumb}" || echo dumb) script -qefc "tidegate $*" "$log" <&8 || code=$?
    kill "$typist" 2>/dev/null || true
    wait "$typist" 2>/dev/null || true
    exec 8>&-
    grep -q 'type the name' "$log" || die "it did not ask"
    must_exit 0 "$code"
}

must_exit() {
    local meaning
    meaning=$(tidegate help exit-codes | awk -v code="$2" '$1 == code { $1 = ""; print substr($0, 2) }')
    note "exit code $2: $meaning"
    [ "$1" = "$2" ] || die "exit code $1 was expected"
}

same() {
    [ "$2" = "$3" ] || die "$1: it should be \`$2\`, and is \`$3\`"
    note "ok: $1 $3"
}

holds() {
    local text=$1
    shift
    "$@" || die "it is not so: $text"
    note "ok: $text"
}

broken() {
    local text=$1
    shift
    ! "$@" 2>/dev/null || die "it should not be so, and is: $text"
    note "as expected: ${text/that is/that is not}"
}

same_data() {
    diff "$2" "$3" >"$WORK/proof/difference" || {
        head -n 10 "$WORK/proof/difference" >&2
        die "it is not so: $1 (all of it in $WORK/proof/difference)"
    }
    note "ok: $1"
}

# ---------------------------------------------------------------------------------------------------------------------
# The end

summary() {
    part "summary"
    tidegate runs --all --json >"$WORK/proof/runs.json"
    tidegate snapshots --json >"$WORK/proof/snapshots.json"
    printf '   %-18s %-12s %s\n' RUN OUTCOME "DOWN FOR"
    jq -r 'reverse | .[] | [.workflow + (if .forced then " (forced)" else "" end), (.outcome | gsub("_"; " ")),
        ([.down_seconds[] | "\(.[0]) \(.[1] * 10 | round / 10) s"] | join(", "))] | @tsv' "$WORK/proof/runs.json" |
        while IFS=$'\t' read -r workflow outcome down; do
            printf '   %-18s %-12s %s\n' "$workflow" "$outcome" "$down"
        done
    jq -r '[.[].down_seconds[]] | group_by(.[0]) | .[] | "   \(.[0][0]) was down for \(map(.[1]) | add * 10 | round / 10) s in all"' "$WORK/proof/runs.json"
    jq -r '"   \(length) snapshots: \(map(.plain_bytes) | add / 1e6 | round) MB of data, stored as \(map(.stored_bytes) | add / 1e6 | round) MB"' "$WORK/proof/snapshots.json"
    note "bytes in the store: $(find "$WORK/store" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }')"
    note "$SECONDS s in all"
    note "to go on by yourself: export PATH=$ROOT/target/release:\$PATH TIDEGATE_CONFIG=$TIDEGATE_CONFIG"
    note "to remove it all: scripts/demo --down"
}

the_end() {
    FINISHED=yes
    say "demo: ok"
}

the_end_came_early() {
    [ -z "$FINISHED" ] || return 0
    say "" "demo: $([ "$1" = 130 ] && echo interrupted || echo failed) at: $PART" \
        "   logs: $WORK/log, docker logs $(container_of staging), docker logs $(container_of production)" \
        "   everything is left as it is, to be looked at; scripts/demo starts anew, scripts/demo --down removes it" >&2
    exit "$([ "$1" = 130 ] && echo 130 || echo 1)"
}

# What an instance is made of, and what tidegate made for it, state and store. Images, registry and builds stay.
clear_stage() {
    local containers
    containers=$({
        docker ps -aq --filter "name=^/$PREFIX-" --filter "name=^/tidegate\.lock\.$PREFIX-"
        docker ps -aq --filter "label=dev.tidegate.container=$(container_of staging)"
        docker ps -aq --filter "label=dev.tidegate.container=$(container_of production)"
    } | sort -u)
    # shellcheck disable=SC2086
    [ -z "$containers" ] || docker rm -f -v $containers >/dev/null
    docker volume ls -q --filter "name=^$PREFIX-" | xargs -r docker volume rm >/dev/null
    stop_process s3
    rm -rf "$WORK/state" "$WORK/store" "$WORK"/proof/*
    # The tags by which tidegate keeps the images that these containers had.
    images_like "tidegate.local/$PREFIX-*" | xargs -r docker image rm >/dev/null
}

# Two checkouts on one host would use the same names; volumes say whose they are.
refuse_another_checkout() {
    local owner
    docker volume ls --filter "name=^$PREFIX-" --format '{{.Label "dev.tidegate.demo"}}' | sort -u |
        while read -r owner; do
            if [ "$owner" != "$ROOT" ] && [ -e "$owner/scripts/demo" ]; then
                die "another checkout's demo is on this engine; please run $owner/scripts/demo --down first"
            fi
        done
}

# By tag, and by id where a newer image has taken the tag.
images_like() {
    docker image ls --format '{{if eq .Tag "<none>"}}{{.ID}}{{else}}{{.Repository}}:{{.Tag}}{{end}}' "$1"
}

# What tidegate imports for its own use, unless it was there before the demo, or somebody uses it.
remove_images_of_tidegate() {
    local reference
    [ -e "$WORK/not-ours" ] || return 0
    { echo tidegate.local/empty:1 && sed 's|^|tidegate.local/porter:|' "$WORK/porters" 2>/dev/null; } | sort -u |
        while read -r reference; do
            grep -q -s -x -F -- "$reference" "$WORK/not-ours" || forget_image "$reference"
        done
}

take_down() {
    mkdir -p "$WORK"
    lock_demo
    if engine_answers; then
        refuse_another_checkout
        clear_stage
        images_like "*/$PREFIX/appsmith-standin" | xargs -r docker image rm >/dev/null
        remove_images_of_tidegate
    else
        say "demo: no Docker engine answers; its containers, volumes and images cannot be removed"
    fi
    stop_process s3
    stop_process registry
    rm -rf "$WORK"
    say "demo: removed; the Docker engine, packages and builds stay"
}
