// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;

[assembly: DisableRuntimeMarshalling]
[assembly: InternalsVisibleTo("Mooncake.Mesh.Verbs.Tests")]
[assembly: InternalsVisibleTo("Mooncake.Mesh.Client")]
[assembly: InternalsVisibleTo("Mooncake.Mesh.Bench")]
[assembly: InternalsVisibleTo("Mooncake.Mesh.Node.Tests")]
[assembly: InternalsVisibleTo("mooncake-mesh")]
[assembly: InternalsVisibleTo("libmooncake_mesh")]
