storage "embedded" {
  path = "/d"
  pth  = "/e"
}

listener "tcp" {
  adress      = "127.0.0.1:8200"
  tls_disable = "maybe"
  max_request_size = "lots"
}

listener "udp" {
}

log_levl = "debug"
default_lease_ttl = "soon"
zebra = 1
