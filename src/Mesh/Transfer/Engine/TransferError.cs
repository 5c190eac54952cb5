// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Why the transfer engine refused, numbered as in Mooncake's Transfer Engine. Values are fixed.</summary>
public enum TransferErrorCode
{
    /// <summary>No failure.</summary>
    None = 0,

    /// <summary>An argument that cannot be: a null or wrapping range, no such batch, task or segment.</summary>
    InvalidArgument = -1,

    /// <summary>A bound is reached: the batch has no room, there are too many batches, a queue is full.</summary>
    TooManyRequests = -2,

    /// <summary>Memory that is not registered.</summary>
    AddressNotRegistered = -3,

    /// <summary>The batch, or the memory, is still in use by a transfer.</summary>
    BatchBusy = -4,

    /// <summary>No such device here.</summary>
    DeviceNotFound = -6,

    /// <summary>Memory of which a part is registered already.</summary>
    AddressOverlapped = -7,

    /// <summary>A host name that does not resolve.</summary>
    Dns = -101,

    /// <summary>A port that is in use, or a peer that cannot be connected to.</summary>
    Socket = -102,

    /// <summary>A record that cannot be read.</summary>
    MalformedJson = -103,

    /// <summary>The peer does not let us in: another protocol, cluster, or secret.</summary>
    RejectHandshake = -104,

    /// <summary>The name is not announced, or the registry cannot be reached.</summary>
    Metadata = -200,

    /// <summary>The peer is not, or no longer, the process that is meant; or it did not answer in time.</summary>
    Endpoint = -201,

    /// <summary>The engine is closed, or was made before this process forked.</summary>
    Context = -202,

    /// <summary>The memory cannot be placed where it was asked for.</summary>
    Numa = -300,

    /// <summary>The clock failed.</summary>
    Clock = -301,

    /// <summary>The operating system refused memory.</summary>
    Memory = -302,

    /// <summary>Not offered.</summary>
    NotImplemented = -303,
}

/// <summary>An expected failure of the transfer engine.</summary>
/// <param name="Code">Mooncake's number of it.</param>
/// <param name="Message">One line for a person: what, its value, and the limit.</param>
public sealed record TransferError(TransferErrorCode Code, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Message} ({Code}, {(int)Code})";
}

/// <summary>The throwing form of a <see cref="TransferError"/>.</summary>
public sealed class TransferException(TransferError error) : Exception(error.ToString())
{
    /// <summary>The failure.</summary>
    public TransferError Error { get; } = error;
}

/// <summary>A value or the <see cref="TransferError"/> that took its place.</summary>
/// <typeparam name="T">The value's type.</typeparam>
public readonly struct TransferResult<T>
{
    private readonly T? _value;

    private TransferResult(T? value, TransferError? error)
    {
        _value = value;
        Error = error;
    }

    /// <summary>The failure, or null.</summary>
    public TransferError? Error { get; }

    /// <summary>Whether there is a value.</summary>
    public bool Succeeded => Error is null;

    /// <summary>The value; throws <see cref="TransferException"/> when there is none.</summary>
    public T Value => Error is null ? _value! : throw new TransferException(Error);

    /// <summary>Wraps a value.</summary>
    public static implicit operator TransferResult<T>(T value) => new(value, null);

    /// <summary>Wraps a value, also of an interface.</summary>
    internal static TransferResult<T> From(T value) => new(value, null);

    /// <summary>Wraps a failure.</summary>
    public static implicit operator TransferResult<T>(TransferError error) => new(default, error);
}

/// <summary>Makes results of interfaces, which no conversion of their own can make.</summary>
internal static class TransferResults
{
    /// <summary>Wraps a value.</summary>
    public static TransferResult<T> Of<T>(T value) => TransferResult<T>.From(value);
}
