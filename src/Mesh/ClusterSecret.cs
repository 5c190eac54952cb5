// SPDX-License-Identifier: Apache-2.0

using System.Security.Cryptography;

namespace Mooncake.Mesh;

/// <summary>
/// What the nodes and clients of one mesh know and nobody else: proven by both sides when a connection opens, never
/// sent. Two may be valid at a time, so that one can be replaced node by node. Immutable; shows nothing of itself.
/// </summary>
public sealed class ClusterSecret
{
    /// <summary>Shortest secret, in bytes.</summary>
    public const int MinBytes = 16;

    /// <summary>Longest secret, in bytes.</summary>
    public const int MaxBytes = 4096;

    /// <summary>Most secrets valid at one time.</summary>
    public const int MaxValid = 2;

    /// <summary>Bytes of a proof: HMAC-SHA256.</summary>
    internal const int ProofBytes = HMACSHA256.HashSizeInBytes;

    private const int MaxFileBytes = 4 * MaxBytes;
    private const string Stage = "config:secretFile";

    private const UnixFileMode Wider = UnixFileMode.GroupWrite | UnixFileMode.GroupExecute | UnixFileMode.OtherRead
        | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    private readonly byte[][] _secrets;

    private ClusterSecret(byte[][] secrets) => _secrets = secrets;

    /// <summary>
    /// Reads a file of one secret a line, one or two lines, each of 16 to 4,096 bytes without the blanks around it.
    /// </summary>
    /// <returns>The secret, or InvalidArgument: no such file, its mode wider than 0640, no legal line.</returns>
    public static MeshResult<ClusterSecret> FromFile(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read);
            if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(file.SafeFileHandle) & Wider) != 0)
            {
                return Wrong($"secretFile {path}: others than its owner and group may use it; "
                    + $"run: chmod 640 '{path}'");
            }

            byte[] text = new byte[MaxFileBytes + 1];
            int length = file.ReadAtLeast(text, text.Length, throwOnEndOfStream: false);
            var secret = Parse(text.AsSpan(0, length));
            CryptographicOperations.ZeroMemory(text);
            return secret.Succeeded ? secret : Wrong($"secretFile {path}: {secret.Error!.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return Wrong($"secretFile {path}: {e.Message}");
        }
    }

    /// <summary>Reads the content of such a file.</summary>
    /// <returns>The secret, or InvalidArgument naming the line and the limit, never the text.</returns>
    public static MeshResult<ClusterSecret> Parse(ReadOnlySpan<byte> text)
    {
        if (text.Length > MaxFileBytes)
            return Wrong($"over {MaxFileBytes} bytes; one or two lines of {MinBytes} to {MaxBytes} bytes are legal");
        var secrets = new List<byte[]>();
        int number = 0;
        foreach (Range range in text.Split((byte)'\n'))
        {
            number++;
            var line = Trim(text[range]);
            if (line.IsEmpty)
                continue;
            if (line.Length is < MinBytes or > MaxBytes)
                return Wrong($"line {number} is of {line.Length} bytes; {MinBytes} to {MaxBytes} are legal");
            if (secrets.Count == MaxValid)
                return Wrong($"line {number} is one more secret; at most {MaxValid} are valid at a time");
            secrets.Add(line.ToArray());
        }

        if (secrets.Count == 0)
            return Wrong($"no secret in it; write one line of {MinBytes} to {MaxBytes} bytes");
        return new ClusterSecret([.. secrets]);
    }

    /// <summary>How many secrets are valid; nothing of what they are.</summary>
    public override string ToString() => $"{_secrets.Length} secret(s)";

    /// <summary>The proof of each secret over a connection's two opening frames, as one of its two roles.</summary>
    internal byte[][] Prove(ProverRole role, ReadOnlySpan<byte> offer, ReadOnlySpan<byte> answer)
    {
        byte[][] proofs = new byte[_secrets.Length][];
        for (int i = 0; i < proofs.Length; i++)
            proofs[i] = ProofOf(_secrets[i], role, offer, answer);
        return proofs;
    }

    /// <summary>
    /// The secret of ours that one of the other side's proofs shows, by its position; -1: none. The time it takes
    /// says nothing of where they differ.
    /// </summary>
    internal int Find(byte[][] proofs, ProverRole role, ReadOnlySpan<byte> offer, ReadOnlySpan<byte> answer)
    {
        int found = -1;
        for (int i = _secrets.Length - 1; i >= 0; i--)
        {
            byte[] wanted = ProofOf(_secrets[i], role, offer, answer);
            foreach (byte[] proof in proofs)
            {
                if (CryptographicOperations.FixedTimeEquals(wanted, proof))
                    found = i;
            }
        }

        return found;
    }

    private static byte[] ProofOf(byte[] secret, ProverRole role, ReadOnlySpan<byte> offer, ReadOnlySpan<byte> answer)
    {
        // The frames hold both nonces, the lane, the cluster and who speaks; their lengths keep them apart.
        using var mac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, secret);
        mac.AppendData("Mooncake.Mesh handshake 1"u8);
        Span<byte> head = stackalloc byte[9];
        head[0] = (byte)role;
        System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(head[1..], offer.Length);
        System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(head[5..], answer.Length);
        mac.AppendData(head);
        mac.AppendData(offer);
        mac.AppendData(answer);
        return mac.GetHashAndReset();
    }

    private static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> line) => line.Trim(" \t\r\f\v"u8);

    private static MeshError Wrong(string message) => new(MeshErrorCode.InvalidArgument, Stage, message);
}

/// <summary>Who proves: a proof of one role is none of the other, so that it cannot be sent back.</summary>
internal enum ProverRole
{
    /// <summary>The side that made the connection.</summary>
    Offerer = 1,

    /// <summary>The side that accepted it.</summary>
    Acceptor = 2,
}
