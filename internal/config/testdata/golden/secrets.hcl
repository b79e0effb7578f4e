storage "inmem" {}
listener "tcp" { tls_disable = true }
seal "static" {
  current_key_id = "a"
  current_key = "hunter2-hunter2"
}
seal "transit" {
  token = ["hunter2-hunter2"]
  disabled = true
}
