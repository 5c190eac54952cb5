// SPDX-License-Identifier: Apache-2.0

using System.Text;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>
/// The Unix socket a node has unless it is told otherwise, so that processes of one host share memory instead of a
/// network card: in the runtime directory, or in a folder of the user's own under XDG_RUNTIME_DIR or the temporary one.
/// </summary>
internal static class LocalSocket
{
    /// <summary>Bytes of a socket's path (sun_path of unix(7), less its end).</summary>
    private const int MaxPath = 107;

    /// <summary>The path to listen on; null: none ("" in the setting, or no folder of ours can be had).</summary>
    internal static string? PathOf(ServeOptions options)
    {
        if (OperatingSystem.IsWindows())
            return null;
        if (options.SocketPath is not null)
            return options.SocketPath.Length == 0 ? null : options.SocketPath;
        string folder = options.RuntimeDirectory ?? Path.Combine(
            Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") ?? Path.GetTempPath(),
            $"mooncake-mesh-{Environment.UserName}");
        string path = Path.Combine(folder, $"{options.Cluster}.{options.NodeId}.sock");
        if (Encoding.UTF8.GetByteCount(path) > MaxPath)
            return null;
        if (!OperatingSystem.IsLinux())
            return null;
        try
        {
            System.IO.Directory.CreateDirectory(folder,
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
