// SPDX-License-Identifier: Apache-2.0
// The three headers in C++, one program. Arguments: NODE.
#include <mooncake_mesh.h>
#include <store_c.h>
#include <transfer_engine_c.h>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  mooncake_mesh_t *mesh = nullptr;
  std::string options = std::string("nodes=") + argv[1] + ";timeout_ms=10000";
  if (mooncake_mesh_open(options.c_str(), &mesh) != MOONCAKE_MESH_OK) {
    std::cerr << mooncake_mesh_last_error() << '\n';
    return 1;
  }
  std::string key = "from C++";
  std::vector<char> value(100000, 'c'), copy(100000);
  bool good = mooncake_mesh_put(mesh, key.data(), key.size(), value.data(), value.size(), nullptr) == 0 &&
              mooncake_mesh_get_into(mesh, key.data(), key.size(), copy.data(), copy.size()) == 100000 &&
              copy == value && mooncake_mesh_remove(mesh, key.data(), key.size()) == 0;
  mooncake_store_t store = mooncake_store_create();
  good = good && mooncake_store_setup(store, "localhost", "P2PHANDSHAKE", 0, 4096, "tcp", "", argv[1]) == 0 &&
         mooncake_store_put(store, key.c_str(), value.data(), value.size(), nullptr) == 0 &&
         mooncake_store_remove(store, key.c_str(), 0) == 0;
  mooncake_store_destroy(store);
  good = mooncake_mesh_close(mesh) == 0 && good;
  // transfer_engine_c.h is compiled with the rest; its functions have programs of their own.
  transfer_request_t request = {};
  good = good && request.length == 0 && INVALID_BATCH == UINT64_MAX;
  if (!good) std::cerr << mooncake_mesh_last_error() << '\n';
  std::cout << (good ? "ok" : "bad") << std::endl;
  return good ? 0 : 1;
}
