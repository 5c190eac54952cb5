// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Cli;

/// <summary>What the process says when it ends. Scripts depend on the values.</summary>
internal static class ExitCode
{
    internal const int Ok = 0;
    internal const int Refused = 1;
    internal const int Usage = 2;
    internal const int NotFound = 3;

    /// <summary>The code for a failure.</summary>
    internal static int Of(MeshError error) => error.Code == MeshErrorCode.NotFound ? NotFound
        : error.Code == MeshErrorCode.InvalidArgument && error.Stage.StartsWith("config", StringComparison.Ordinal)
            ? Usage : Refused;
}
