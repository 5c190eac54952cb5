// SPDX-License-Identifier: Apache-2.0

using System.Security.Authentication;
using Grpc.Core;

namespace Mooncake.Mesh.Membership;

/// <summary>The one place where failures of gRPC and etcd become a <see cref="RegistryException"/>.</summary>
internal static class EtcdErrors
{
    public static RegistryException Map(Exception failure, string call)
    {
        if (failure is RegistryException known)
            return known;
        string detail = failure is RpcException rpc ? rpc.Status.Detail : failure.Message;
        if (Tls(failure) is { } tls)
            return new RegistryException(RegistryFailure.Denied, $"{call}: TLS: {OneLine(tls.Message)}", failure);
        // Of a connection that cannot be made the library says so and no more; what lies beneath says why.
        string why = failure is RpcException { StatusCode: StatusCode.Unavailable, Status.DebugException: { } cause }
            ? cause.GetBaseException().Message
            : detail;
        return new RegistryException(KindOf(failure, detail), $"{call}: {OneLine(why)}", failure);
    }

    /// <summary>Whether a fresh token may cure the failure: etcd reports a changed user store in two ways.</summary>
    public static bool IsStaleToken(Exception failure) =>
        failure is RpcException rpc &&
        (rpc.StatusCode == StatusCode.Unauthenticated ||
         rpc.Status.Detail.Contains("revision of auth store is old", StringComparison.Ordinal) ||
         rpc.Status.Detail.Contains("invalid auth token", StringComparison.Ordinal));

    private static RegistryFailure KindOf(Exception failure, string detail)
    {
        if (failure is not RpcException rpc)
            return RegistryFailure.Unavailable;
        if (detail.Contains("database space exceeded", StringComparison.Ordinal))
            return RegistryFailure.NoSpace;
        if (detail.Contains("requested lease not found", StringComparison.Ordinal))
            return RegistryFailure.LeaseNotFound;
        if (IsStaleToken(failure) || IsAuthentication(detail))
            return RegistryFailure.Denied;
        return rpc.StatusCode switch
        {
            StatusCode.PermissionDenied => RegistryFailure.Denied,
            StatusCode.InvalidArgument or StatusCode.FailedPrecondition or StatusCode.OutOfRange
                or StatusCode.NotFound or StatusCode.Unimplemented or StatusCode.AlreadyExists
                    => RegistryFailure.Refused,
            // "too many requests" and our own receive limit share a status; only the second never heals.
            StatusCode.ResourceExhausted when !detail.Contains("too many requests", StringComparison.Ordinal) =>
                RegistryFailure.Refused,
            _ => RegistryFailure.Unavailable,
        };
    }

    private static bool IsAuthentication(string detail) =>
        detail.Contains("authentication failed", StringComparison.Ordinal) ||
        detail.Contains("authentication is not enabled", StringComparison.Ordinal) ||
        detail.Contains("user name is empty", StringComparison.Ordinal) ||
        detail.Contains("user name not found", StringComparison.Ordinal) ||
        detail.Contains("permission denied", StringComparison.Ordinal);

    private static AuthenticationException? Tls(Exception? failure)
    {
        for (int depth = 0; failure is not null && depth < 8; depth++)
        {
            if (failure is AuthenticationException found)
                return found;
            failure = failure is RpcException { Status.DebugException: { } debug } ? debug : failure.InnerException;
        }

        return null;
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
