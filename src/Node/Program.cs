// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Cli;

return await MeshCommand.RunAsync(args, Terminal.OfProcess());
