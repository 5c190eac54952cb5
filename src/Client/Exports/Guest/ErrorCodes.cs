// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>
/// Return values of a C function that fails; the numbers down to -1999 are those that Mooncake's users know. Part of
/// the ABI: values are fixed, new ones are appended.
/// </summary>
internal static class ErrorCodes
{
    public const int Ok = 0;
    public const int Internal = -1;
    public const int SegmentAlreadyExists = -102;
    public const int NoAvailableHandle = -200;
    public const int InvalidKey = -400;
    public const int InvalidParams = -600;
    public const int IllegalClient = -601;
    public const int ObjectNotFound = -704;
    public const int TransferFail = -800;
    public const int RpcFail = -900;
    public const int RpcTimeout = -901;
    public const int EtcdOperationError = -1000;
    public const int UnavailableInCurrentStatus = -1010;
    public const int NotSupported = -1012;

    /// <summary>Of our own: the call goes on; wait for it or cancel it.</summary>
    public const int Pending = -2000;

    /// <summary>Of our own: given up, by the host or because its handle was closed.</summary>
    public const int Cancelled = -2001;

    /// <summary>Of our own: the process is a forked child of the one that used the library first.</summary>
    public const int Forked = -2002;

    /// <summary>Of our own: no such handle, or one that is closed.</summary>
    public const int BadHandle = -2003;

    /// <summary>Of our own: another copy of the library is in use in this process.</summary>
    public const int SecondLibrary = -2004;

    /// <summary>The code of a failure.</summary>
    public static int Of(MeshErrorCode code) => code switch
    {
        MeshErrorCode.None => Ok,
        MeshErrorCode.NotFound => ObjectNotFound,
        MeshErrorCode.InvalidKey => InvalidKey,
        MeshErrorCode.InvalidArgument => InvalidParams,
        MeshErrorCode.NoSpace or MeshErrorCode.PinLimit or MeshErrorCode.ClientLimit => NoAvailableHandle,
        MeshErrorCode.DeadlineExceeded or MeshErrorCode.Unknown => RpcTimeout,
        MeshErrorCode.Unavailable or MeshErrorCode.Protocol => RpcFail,
        MeshErrorCode.Stale or MeshErrorCode.Device => TransferFail,
        MeshErrorCode.Busy or MeshErrorCode.Closed => UnavailableInCurrentStatus,
        MeshErrorCode.Cancelled => Cancelled,
        MeshErrorCode.NodeIdInUse => SegmentAlreadyExists,
        MeshErrorCode.Registry => EtcdOperationError,
        MeshErrorCode.Unauthenticated => IllegalClient,
        _ => Internal,
    };

    /// <summary>The code of a failure, whose text the thread remembers.</summary>
    public static int Of(MeshError error)
    {
        // An empty key is to its users a wrong argument, as everywhere in Mooncake.
        int code = error.Code == MeshErrorCode.InvalidKey && error.Message.StartsWith("key is empty",
            StringComparison.Ordinal)
            ? InvalidParams
            : Of(error.Code);
        LastError.Set(error.ToString());
        return code;
    }
}

/// <summary>The caller's fault, found before anything was done.</summary>
internal sealed class RefusedException(int code, string message) : Exception(message)
{
    /// <summary>What the function returns.</summary>
    public int Code { get; } = code;
}
