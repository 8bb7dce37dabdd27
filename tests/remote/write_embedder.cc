// Writes an embedding model of random weights, for remote_test.py: write_embedder FILE
#include "tests/support/reference_encoder.h"

int main(int count, char** arguments) {
  if (count != 2) return 2;
  wenqu::test::ReferenceEncoder({}).writer().write(arguments[1]);
  return 0;
}
