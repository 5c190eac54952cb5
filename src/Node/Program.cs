// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Cli;
using Mooncake.Mesh.Node.Serve;

if (args is ["serve", ..])
    RestingThreads.Apply();
return await MeshCommand.RunAsync(args, Terminal.OfProcess());
