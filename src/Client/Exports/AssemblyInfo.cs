// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;

[assembly: DisableRuntimeMarshalling]
[assembly: InternalsVisibleTo("Mooncake.Mesh.Native.Tests")]
