// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Node.Logging;

/// <summary>The least severe level that is written; it may change while the process runs. Thread-safe.</summary>
internal sealed class LogThreshold(LogLevel least)
{
    private volatile LogLevel _least = least;

    internal LogLevel Least
    {
        get => _least;
        set => _least = value;
    }
}
