#!/bin/sh
# Reads from a cluster where clients find TURN, and puts that into the ConfigMap stunner-config, which both halves watch.
set -eu

usage() {
  cat <<'EOF'
Usage: public-address.sh [OPTION]...

Reads where clients find TURN, and puts STUNNER_PUBLIC_ADDR and STUNNER_PUBLIC_PORT into the ConfigMap stunner-config:

  Service of type LoadBalancer   its address, or its host name, and its port
  Service of type NodePort       the address of a node that runs a replica, and the node port
  no Service (host-network)      the address of a node that runs a replica, and STUNNER_PORT

Options:
  --address ADDRESS    this address or host name instead: that of a firewall in front, or a name of all nodes
  --port PORT          this port instead
  --timeout SECONDS    how long to wait until the load balancer has an address [default: 120]
  -n, --namespace NAME
  --context NAME       as kubectl has them
  --dry-run            say it, and change nothing
  -h, --help
EOF
}

fail() {
  printf 'public-address.sh: %s\n' "$1" >&2
  exit 1
}

note() {
  printf 'public-address.sh: %s\n' "$1" >&2
}

kube() {
  kubectl ${context:+--context "$context"} ${namespace:+--namespace "$namespace"} "$@"
}

# One port of the Service: port or nodePort, by the name of the port.
service_port() {
  kube get service stunner --output "jsonpath={.spec.ports[?(@.name=='$2')].$1}"
}

# The first word that a load balancer says of itself: its address, or else its name.
balancer_address() {
  ingress=$(kube get service stunner \
    --output 'jsonpath={range .status.loadBalancer.ingress[*]}{.ip} {.hostname} {end}')
  # shellcheck disable=SC2086 # words are wanted
  set -- $ingress
  printf '%s' "${1:-}"
}

wait_for_balancer() {
  waited=0
  address=$(balancer_address)
  while [ -z "$address" ]; do
    [ "$waited" -lt "$timeout" ] || fail "after $timeout s the load balancer has no address: look at \
'kubectl describe service stunner'; without load balancers use the directory node-port, or give --address"
    sleep 2
    waited=$((waited + 2))
    address=$(balancer_address)
  done
}

# One address of a node, of this type.
node_address() {
  found=$(kube get node "$1" --output "jsonpath={.status.addresses[?(@.type=='$2')].address}")
  printf '%s' "${found%% *}"
}

# The address of a node that runs a replica, the external one where there is one.
replica_address() {
  node=$(kube get pods --selector app=stunner --field-selector status.phase=Running \
    --output 'jsonpath={.items[*].spec.nodeName}')
  node=${node%% *}
  [ -n "$node" ] || fail "no replica of stunner runs: look at 'kubectl get pods --selector app=stunner'"
  address=$(node_address "$node" ExternalIP)
  if [ -z "$address" ]; then
    address=$(node_address "$node" InternalIP)
    note "node $node has no external address: $address is reached from its own network only"
  fi
  [ -n "$address" ] || fail "node $node has no address: give --address"
}

# Both transports have to have one node port, since clients are told one port.
same_node_port() {
  tcp=$(service_port nodePort turn-tcp)
  [ -z "$tcp" ] || [ "$tcp" = "$1" ] || fail "the Service's node ports differ, $1 for UDP and $tcp for TCP: \
give both one nodePort, as the directory node-port does"
}

locate() {
  type=$(kube get service stunner --ignore-not-found --output 'jsonpath={.spec.type}')
  case $type in
    LoadBalancer)
      port=$(service_port port turn-udp)
      [ -n "$1" ] || wait_for_balancer
      ;;
    NodePort)
      port=$(service_port nodePort turn-udp)
      same_node_port "$port"
      [ -n "$1" ] || replica_address
      ;;
    '')
      port=$(kube get configmap stunner-config --output 'jsonpath={.data.STUNNER_PORT}')
      port=${port:-3478}
      [ -n "$1" ] || replica_address
      ;;
    *)
      fail "the Service stunner is of type $type, which nobody outside can reach: it has to be LoadBalancer or NodePort"
      ;;
  esac
}

wanted_address='' wanted_port='' timeout=120 namespace='' context='' dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit
      ;;
    --dry-run)
      dry_run=client
      shift
      continue
      ;;
  esac
  [ $# -ge 2 ] || fail "$1: there is no such option, or its value is missing; see --help"
  case $1 in
    --address) wanted_address=$2 ;;
    --port) wanted_port=$2 ;;
    --timeout) timeout=$2 ;;
    -n | --namespace) namespace=$2 ;;
    --context) context=$2 ;;
    *) fail "$1: there is no such option; see --help" ;;
  esac
  shift 2
done
case $timeout in
  '' | *[!0-9]*) fail "--timeout $timeout: this is no number of seconds" ;;
esac
command -v kubectl >/dev/null || fail "there is no kubectl: see https://kubernetes.io/docs/tasks/tools/"

locate "$wanted_address"
address=${wanted_address:-$address}
port=${wanted_port:-$port}
case $address in
  *[!A-Za-z0-9.:-]*) fail "$address: this is neither an address nor a host name" ;;
esac
case $port in
  '' | *[!0-9]*) fail "'$port' is no port: the Service stunner has to have one named turn-udp; or give --port" ;;
esac

kube patch configmap stunner-config --type merge ${dry_run:+--dry-run="$dry_run"} \
  --patch "{\"data\":{\"STUNNER_PUBLIC_ADDR\":\"$address\",\"STUNNER_PUBLIC_PORT\":\"$port\"}}"
case $address in
  *:*) printf 'Clients find TURN at [%s]:%s\n' "$address" "$port" ;;
  *) printf 'Clients find TURN at %s:%s\n' "$address" "$port" ;;
esac
