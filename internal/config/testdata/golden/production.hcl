# Everything that a careful operator might set.
storage "raft" {
  path    = "/var/lib/jeton"
  node_id = "node-1"
  retry_join { leader_api_addr = "https://other:8200" }
}

listener "tcp" {
  address                  = "[::]:8200"
  tls_cert_file            = "/etc/jeton/tls/cert.pem"
  tls_key_file             = "/etc/jeton/tls/key.pem"
  tls_min_version          = "tls13"
  tls_client_ca_file       = "/etc/jeton/tls/ca.pem"
  max_request_size         = "1048576"
  max_request_duration     = "45s"
  http_read_timeout        = 20
  x_forwarded_for_authorized_addrs = "10.0.0.0/8, 192.168.1.7"
  x_forwarded_for_hop_skips        = 1
  x_forwarded_for_reject_not_present = false
  redact_version = 1
  custom_response_headers {
    "default" = { "X-Frame-Options" = ["DENY"] }
    "4xx" = { "Cache-Control" = ["no-store", "private"] }
    "404" = { "X-Vault-Own" = ["no"] }
  }
  telemetry {
    unauthenticated_metrics_access = "true"
  }
}

listener "unix" {
  address     = "/run/jeton.sock"
  socket_mode = "0660"
  socket_user = "jeton"
}

seal "static" {
  current_key_id = "2026-01"
  current_key    = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
}

telemetry {
  prometheus_retention_time = "30s"
  disable_hostname          = true
  prefix_filter             = ["+vault.token", "-vault.expire"]
  statsd_address            = "localhost:8125"
}

user_lockout "all" {
  lockout_duration = "10m"
}

user_lockout "userpass" {
  lockout_threshold     = "3"
  lockout_counter_reset = "10m"
}

audit "file" "to-disk" {
  description = "the record"
  options {
    file_path = "/var/log/jeton/audit.log"
    mode      = 0600
    log_raw   = false
  }
}

allowed_audit_directories = ["/var/log/jeton"]
api_addr          = "https://vault.example.com:8200/"
cluster_addr      = "https://vault.example.com:8201"
cluster_name      = "main"
ui                = true
max_lease_ttl     = "90d"
default_lease_ttl = "1d12h"
log_level         = "warning"
log_file          = "/var/log/jeton/"
log_rotate_max_files = "7"
plugin_directory  = "/opt/plugins"
pid_file          = "/run/jeton.pid"
