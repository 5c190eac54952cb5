// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// The file that holds a node's lease id across restarts. It stays locked while the node runs: a second process must
/// not revoke the lease of a living one.
/// </summary>
internal sealed class KeptLease : IDisposable
{
    private const int MaxBytes = 256;
    private readonly FileStream _file;
    private readonly string _nodeId;

    private KeptLease(FileStream file, string nodeId)
    {
        _file = file;
        _nodeId = nodeId;
    }

    /// <summary>Opens and locks the file of a node.</summary>
    /// <returns>It; NodeIdInUse when another process holds it; System when the directory cannot be used.</returns>
    public static MeshResult<KeptLease> Open(string directory, string nodeId)
    {
        string path = Path.Combine(directory, $"membership-{nodeId}.lease");
        try
        {
            System.IO.Directory.CreateDirectory(directory);
            var options = new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
            };
            if (!OperatingSystem.IsWindows())
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            return new KeptLease(new FileStream(path, options), nodeId);
        }
        catch (IOException) when (File.Exists(path))
        {
            return new MeshError(MeshErrorCode.NodeIdInUse, "membership",
                $"node id '{nodeId}' is in use: another process of this host holds {path}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new MeshError(MeshErrorCode.System, "membership",
                $"the runtime directory '{directory}' cannot be used: {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    /// <summary>The lease kept by an earlier process of the same node id, or 0.</summary>
    public long Read()
    {
        var bytes = new byte[MaxBytes];
        _file.Position = 0;
        int length = _file.ReadAtLeast(bytes, MaxBytes, throwOnEndOfStream: false);
        string[] words = Encoding.UTF8.GetString(bytes, 0, length).Split(' ', '\n');
        return words.Length >= 2 && words[0] == _nodeId && long.TryParse(words[1], NumberStyles.AllowHexSpecifier,
            CultureInfo.InvariantCulture, out long lease) ? lease : 0;
    }

    /// <summary>Keeps a lease id; 0 keeps none.</summary>
    /// <exception cref="IOException">The disk refuses.</exception>
    public void Write(long lease)
    {
        _file.SetLength(0);
        _file.Position = 0;
        if (lease != 0)
            _file.Write(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{_nodeId} {lease:x}\n")));
        _file.Flush(flushToDisk: true);
    }

    public void Dispose() => _file.Dispose();

    /// <summary>Keeps a lease id, 0 for none; a file that cannot be written is logged.</summary>
    public void TryWrite(long lease, ILogger log)
    {
        try
        {
            Write(lease);
        }
        catch (IOException e)
        {
            log.LogWarning("the lease id could not be kept: {Reason}", e.Message);
        }
    }
}
