#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# encode.sh - the bytes of each record that stands here as text, by protoc; its first two lines say of which message
set -euo pipefail

cd "$(dirname "$0")"
for text in */*.txtpb; do
	folder=${text%/*}
	message=$(sed -n 's/^# proto-message: //p' "$text")
	protoc -I "$folder" --encode="mailcase.$folder.v1.$message" "$folder.proto" <"$text" >"${text%.txtpb}.bin"
done
